#ifndef SHMD_SERVER_RPC_NODE_SERVICE_H_
#define SHMD_SERVER_RPC_NODE_SERVICE_H_

#include "absl/time/time.h"
#include "server/access/connection_table.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/rpc_service.h"
#include "shmd/v1/node.grpc.pb.h"

namespace shmd {

// What the host can still give. Thread-safe. Borrows what it is given.
class NodeService final : public RpcService {
 public:
  NodeService(const ConnectionTable* connections, SegmentRegistry* registry,
              absl::Time start_time);

  const char* name() const override {
    return v1::NodeService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override { methods_.Await(queue); }

 private:
  absl::Status GetNode(const Caller& caller, const v1::GetNodeRequest& request,
                       v1::Node* reply);

  SegmentRegistry* const registry_;
  const absl::Time start_time_;
  v1::NodeService::AsyncService service_;
  MethodSet<NodeService> methods_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_NODE_SERVICE_H_
