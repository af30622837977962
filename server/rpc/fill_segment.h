#ifndef SHMD_SERVER_RPC_FILL_SEGMENT_H_
#define SHMD_SERVER_RPC_FILL_SEGMENT_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/registry/segment_registry.h"
#include "shm/kernel_object.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// Of the segments of one reply: clients take no message of more than 4 MiB
// unless they are told to.
inline constexpr size_t kMostReplyBytes = 3 << 20;

// As much of a segment as `extent` says, which is not unspecified: metadata,
// handle and status.
void FillSegment(SegmentRegistry& registry, const Caller& caller,
                 const SegmentView& view, v1::SegmentView extent,
                 v1::Segment* reply);

// Whether `extent` is one of those that have neither metadata nor status.
bool IsBrief(v1::SegmentView extent);

// The same for those.
void FillBrief(const SegmentRegistry& registry, const Caller& caller,
               const Segment& segment, v1::SegmentView extent,
               v1::Segment* reply);

// Metadata, handle, and a status that was got otherwise.
void FillWithStatus(const SegmentRegistry& registry, const Caller& caller,
                    const SegmentView& view,
                    const absl::StatusOr<ObjectStatus>& status,
                    v1::Segment* reply);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_FILL_SEGMENT_H_
