#ifndef SHMD_CLIENT_CPP_PROTO_CONVERT_H_
#define SHMD_CLIENT_CPP_PROTO_CONVERT_H_

#include "client/cpp/segment.h"
#include "client/cpp/watch.h"
#include "shmd/v1/node.pb.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {
inline namespace client {

// The one place of the client where plain values become messages and back.
// Values that this version does not know become the unspecified ones.

void SpecToProto(const SegmentSpec& spec, v1::CreateSegmentRequest& request);
void AdoptToProto(const AdoptSpec& spec, v1::AdoptSegmentRequest& request);
// Sets all of `request` but the segment's name.
void UpdateToProto(const SegmentUpdate& update,
                   v1::UpdateSegmentRequest& request);
v1::SealSegmentRequest::Extent ExtentToProto(SealExtent extent);
v1::FlushSegmentRequest::Mode FlushModeToProto(FlushMode mode);
google::protobuf::Duration DurationToProto(absl::Duration duration);

Segment SegmentFromProto(const v1::Segment& segment);
Node NodeFromProto(const v1::Node& node);
WatchEvent EventFromProto(const v1::WatchSegmentsResponse& event);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_PROTO_CONVERT_H_
