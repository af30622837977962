#ifndef SHMD_CLIENT_CPP_PROTO_CONVERT_H_
#define SHMD_CLIENT_CPP_PROTO_CONVERT_H_

#include "client/cpp/grant.h"
#include "client/cpp/orphan.h"
#include "client/cpp/segment.h"
#include "client/cpp/session.h"
#include "client/cpp/watch.h"
#include "shmd/v1/grant.pb.h"
#include "shmd/v1/node.pb.h"
#include "shmd/v1/orphan.pb.h"
#include "shmd/v1/segment.pb.h"
#include "shmd/v1/session.pb.h"

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
google::protobuf::Timestamp TimestampToProto(absl::Time time);

absl::Time TimeFromProto(const google::protobuf::Timestamp& time);
BackendKind BackendFromProto(v1::Segment::Backend backend);
Segment SegmentFromProto(const v1::Segment& segment);
Node NodeFromProto(const v1::Node& node);
WatchEvent EventFromProto(const v1::WatchSegmentsResponse& event);

// host_convert.cc
v1::Grant GrantToProto(const GrantSpec& spec);
Grant GrantFromProto(const v1::Grant& grant);
Orphan OrphanFromProto(const v1::Orphan& orphan);
Session SessionFromProto(const v1::Session& session);
SegmentUsers SegmentUsersFromProto(const v1::ListSegmentUsersResponse& reply);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_PROTO_CONVERT_H_
