#include "server/rpc/grant_service.h"

#include <variant>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/grant_names.h"
#include "server/rpc/time_to_proto.h"

namespace shmd {
namespace {

void GrantToProto(const GrantParent& parent, const Grant& grant,
                  v1::Grant* proto) {
  proto->set_name(GrantName{parent, grant.id}.ToString());
  if (grant.roles == 0) proto->set_access(AccessToProto(grant.access));
  for (int role = v1::Grant::PUBLISHER; role <= v1::Grant::SERVER; ++role) {
    if ((grant.roles >> (role - v1::Grant::PUBLISHER) & 1) == 0) continue;
    proto->add_roles(static_cast<v1::Grant::Role>(role));
  }
  if (grant.expire_time.has_value()) {
    TimeToProto(*grant.expire_time, proto->mutable_expire_time());
  }
  proto->set_max_uses(grant.max_uses);
  if (grant.uid.has_value()) proto->set_uid(*grant.uid);
  proto->set_uses(grant.uses);
  TimeToProto(grant.create_time, proto->mutable_create_time());
}

// What a grant is to let do stands in the field of its parent's kind.
absl::Status CheckFields(const GrantParent& parent, const v1::Grant& grant) {
  const bool is_segments = std::holds_alternative<SegmentName>(parent);
  if (is_segments && grant.roles_size() > 0) {
    return InvalidField("grant.roles", reason::kFieldInvalid,
                        "is for channels");
  }
  if (!is_segments && grant.access() != v1::ACCESS_UNSPECIFIED) {
    return InvalidField("grant.access", reason::kFieldInvalid,
                        "is for segments; of channels, set roles");
  }
  return absl::OkStatus();
}

}  // namespace

GrantService::GrantService(const ConnectionTable* connections,
                           SegmentRegistry* segments, ChannelRegistry* channels)
    : segments_(segments), channels_(channels), methods_(connections, this) {
  using Async = v1::GrantService::AsyncService;
  methods_.Add("CreateGrant", &service_, &Async::RequestCreateGrant,
               &GrantService::CreateGrant,
               &MayAlwaysWait<v1::CreateGrantRequest>);
  methods_.Add("ListGrants", &service_, &Async::RequestListGrants,
               &GrantService::ListGrants,
               &MayAlwaysWait<v1::ListGrantsRequest>);
  methods_.Add("DeleteGrant", &service_, &Async::RequestDeleteGrant,
               &GrantService::DeleteGrant,
               &MayAlwaysWait<v1::DeleteGrantRequest>);
}

absl::Status GrantService::CreateGrant(const Caller& caller,
                                       const v1::CreateGrantRequest& request,
                                       v1::CreateGrantResponse* reply) {
  ASSIGN_OR_RETURN(const GrantParent parent,
                   ParseGrantParent("parent", request.parent()));
  RETURN_IF_ERROR(CheckFields(parent, request.grant()));
  ASSIGN_OR_RETURN(GrantCommand command, GrantFromProto(request.grant()));
  SegmentRegistry::NewGrant made;
  if (const auto* const channel = std::get_if<ChannelName>(&parent)) {
    ASSIGN_OR_RETURN(made, channels_->CreateGrant(caller, *channel, command));
  } else {
    command.name = std::get<SegmentName>(parent);
    ASSIGN_OR_RETURN(made, segments_->CreateGrant(caller, command));
  }
  GrantToProto(parent, made.grant, reply->mutable_grant());
  HandleToProto(made.handle, reply->mutable_handle());
  reply->set_handle_string(EncodeHandle(made.handle));
  return absl::OkStatus();
}

absl::Status GrantService::ListGrants(const Caller& caller,
                                      const v1::ListGrantsRequest& request,
                                      v1::ListGrantsResponse* reply) {
  ASSIGN_OR_RETURN(const GrantParent parent,
                   ParseGrantParent("parent", request.parent()));
  const auto* const channel = std::get_if<ChannelName>(&parent);
  ASSIGN_OR_RETURN(
      const std::vector<Grant> grants,
      channel != nullptr
          ? channels_->ListGrants(caller, *channel)
          : segments_->ListGrants(caller, std::get<SegmentName>(parent)));
  for (const Grant& grant : grants) {
    GrantToProto(parent, grant, reply->add_grants());
  }
  return absl::OkStatus();
}

absl::Status GrantService::DeleteGrant(const Caller& caller,
                                       const v1::DeleteGrantRequest& request,
                                       google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const GrantName name,
                   ParseGrantName("name", request.name()));
  if (const auto* const channel = std::get_if<ChannelName>(&name.parent)) {
    return channels_->DeleteGrant(caller, *channel, name.id);
  }
  return segments_->DeleteGrant(caller, std::get<SegmentName>(name.parent),
                                name.id);
}

}  // namespace shmd
