#ifndef SHMD_SERVER_RPC_GRANT_SERVICE_H_
#define SHMD_SERVER_RPC_GRANT_SERVICE_H_

#include "server/access/connection_table.h"
#include "server/channel/channel_registry.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/rpc_service.h"
#include "shmd/v1/grant.grpc.pb.h"

namespace shmd {

// Secrets that let others attach, or join channels. Thread-safe. Borrows what
// it is given.
class GrantService final : public RpcService {
 public:
  GrantService(const ConnectionTable* connections, SegmentRegistry* segments,
               ChannelRegistry* channels);

  const char* name() const override {
    return v1::GrantService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override { methods_.Await(queue); }

 private:
  absl::Status CreateGrant(const Caller& caller,
                           const v1::CreateGrantRequest& request,
                           v1::CreateGrantResponse* reply);
  absl::Status ListGrants(const Caller& caller,
                          const v1::ListGrantsRequest& request,
                          v1::ListGrantsResponse* reply);
  absl::Status DeleteGrant(const Caller& caller,
                           const v1::DeleteGrantRequest& request,
                           google::protobuf::Empty* reply);

  SegmentRegistry* const segments_;
  ChannelRegistry* const channels_;
  v1::GrantService::AsyncService service_;
  MethodSet<GrantService> methods_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_GRANT_SERVICE_H_
