#ifndef SHMD_SERVER_RPC_NODE_SERVICE_H_
#define SHMD_SERVER_RPC_NODE_SERVICE_H_

#include "absl/time/time.h"
#include "server/access/connection_table.h"
#include "server/registry/segment_registry.h"
#include "shmd/v1/node.grpc.pb.h"

namespace shmd {

// What the host can still give. Thread-safe. Borrows what it is given.
class NodeService final : public v1::NodeService::Service {
 public:
  NodeService(const ConnectionTable* connections, SegmentRegistry* registry,
              uint64_t node, absl::Time start_time)
      : connections_(connections),
        registry_(registry),
        node_(node),
        start_time_(start_time) {}

  grpc::Status GetNode(grpc::ServerContext* context,
                       const v1::GetNodeRequest* request,
                       v1::Node* reply) override;

 private:
  const ConnectionTable* const connections_;
  SegmentRegistry* const registry_;
  const uint64_t node_;
  const absl::Time start_time_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_NODE_SERVICE_H_
