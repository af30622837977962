#ifndef SHMD_SERVER_RPC_RPC_SERVICE_H_
#define SHMD_SERVER_RPC_RPC_SERVICE_H_

#include <grpcpp/impl/codegen/service_type.h>

#include "server/rpc/call_queue.h"

namespace shmd {

// A service as the server registers it.
class RpcService {
 public:
  virtual ~RpcService() = default;

  // For example `shmd.v1.NodeService`.
  virtual const char* name() const = 0;
  virtual grpc::Service* service() = 0;

  // Takes calls from `queue`, which lives as long.
  virtual void Await(CallQueue* queue) = 0;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_RPC_SERVICE_H_
