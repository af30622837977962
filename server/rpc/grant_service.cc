#include "server/rpc/grant_service.h"

#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/time_to_proto.h"

namespace shmd {
namespace {

void GrantToProto(const SegmentName& segment, const Grant& grant,
                  v1::Grant* proto) {
  proto->set_name(GrantName{segment, grant.id}.ToString());
  proto->set_access(AccessToProto(grant.access));
  if (grant.expire_time.has_value()) {
    TimeToProto(*grant.expire_time, proto->mutable_expire_time());
  }
  proto->set_max_uses(grant.max_uses);
  if (grant.uid.has_value()) proto->set_uid(*grant.uid);
  proto->set_uses(grant.uses);
  TimeToProto(grant.create_time, proto->mutable_create_time());
}

}  // namespace

GrantService::GrantService(const ConnectionTable* connections,
                           SegmentRegistry* registry)
    : registry_(registry), methods_(connections, this) {
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
  ASSIGN_OR_RETURN(const GrantCommand command, GrantFromProto(request));
  ASSIGN_OR_RETURN(const SegmentRegistry::NewGrant made,
                   registry_->CreateGrant(caller, command));
  GrantToProto(command.name, made.grant, reply->mutable_grant());
  HandleToProto(made.handle, reply->mutable_handle());
  reply->set_handle_string(EncodeHandle(made.handle));
  return absl::OkStatus();
}

absl::Status GrantService::ListGrants(const Caller& caller,
                                      const v1::ListGrantsRequest& request,
                                      v1::ListGrantsResponse* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("parent", request.parent()));
  ASSIGN_OR_RETURN(const std::vector<Grant> grants,
                   registry_->ListGrants(caller, name));
  for (const Grant& grant : grants) {
    GrantToProto(name, grant, reply->add_grants());
  }
  return absl::OkStatus();
}

absl::Status GrantService::DeleteGrant(const Caller& caller,
                                       const v1::DeleteGrantRequest& request,
                                       google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const GrantName name,
                   ParseGrantName("name", request.name()));
  return registry_->DeleteGrant(caller, name.segment, name.id);
}

}  // namespace shmd
