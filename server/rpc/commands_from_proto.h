#ifndef SHMD_SERVER_RPC_COMMANDS_FROM_PROTO_H_
#define SHMD_SERVER_RPC_COMMANDS_FROM_PROTO_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/registry/commands.h"
#include "shmd/v1/grant.pb.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// Decode requests and check their form: every field of every request is looked
// at here, and nothing behind here sees a raw name. Errors are INVALID_ARGUMENT
// naming the field.

// `parent` of the batch stands in where the request has none.
absl::StatusOr<CreateCommand> CreateFromProto(
    const v1::CreateSegmentRequest& request, const std::string& batch_parent,
    const Caller& caller);

// The members of a batch, one by one.
absl::StatusOr<CreateOrder> BatchFromProto(
    const v1::BatchCreateSegmentsRequest& request, const Caller& caller);

absl::StatusOr<AdoptCommand> AdoptFromProto(
    const v1::AdoptSegmentRequest& request);

// The removal of one segment, from either request that asks for one.
absl::StatusOr<RemoveCommand> RemoveOne(const std::string& name,
                                        const std::string& etag);

absl::StatusOr<UpdateCommand> UpdateFromProto(
    const v1::UpdateSegmentRequest& request);

// The page token is checked against filter and parent.
absl::StatusOr<ListCommand> ListFromProto(
    const v1::ListSegmentsRequest& request);
std::string MakePageToken(const v1::ListSegmentsRequest& request,
                          const std::string& last_id);

absl::StatusOr<HandleCommand> HandleCommandFromProto(
    const v1::CreateHandleRequest& request);

// Without its name.
absl::StatusOr<GrantCommand> GrantFromProto(const v1::Grant& grant);

absl::StatusOr<SealExtent> ExtentFromProto(
    v1::SealSegmentRequest::Extent extent);
absl::StatusOr<FlushMode> FlushModeFromProto(
    v1::FlushSegmentRequest::Mode mode);

// How much of a segment is asked for; `unspecified` is the default.
absl::StatusOr<v1::SegmentView> ReadView(v1::SegmentView view,
                                         v1::SegmentView unspecified);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_COMMANDS_FROM_PROTO_H_
