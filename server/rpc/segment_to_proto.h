#ifndef SHMD_SERVER_RPC_SEGMENT_TO_PROTO_H_
#define SHMD_SERVER_RPC_SEGMENT_TO_PROTO_H_

#include "server/registry/segment.h"
#include "shm/kernel_object.h"
#include "shm/types.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// What IDENTITY has of it, without a handle.
void IdentityToProto(const Segment& segment, v1::Segment* proto);

// The metadata; neither handle nor status.
void SegmentToProto(const Segment& segment, v1::Segment* proto);

void StatusToProto(const ObjectStatus& status, const ObjectName& name,
                   uint64_t attachments, v1::SegmentStatus* proto);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SEGMENT_TO_PROTO_H_
