#ifndef SHMD_SERVER_RPC_REFLECTION_SERVICE_H_
#define SHMD_SERVER_RPC_REFLECTION_SERVICE_H_

#include <string>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server/rpc/call_queue.h"
#include "server/rpc/rpc_service.h"

namespace shmd {

// The standard reflection service over the protos that are linked in.
// Thread-safe.
class ReflectionService final : public RpcService {
 public:
  // Lists the `services`; over TCP only if `over_tcp`.
  ReflectionService(std::vector<std::string> services, bool over_tcp);

  const char* name() const override {
    return grpc::reflection::v1alpha::ServerReflection::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override;

 private:
  class Call;
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;

  void Answer(const Request& request, Response* response) const;

  const std::vector<std::string> services_;
  const bool over_tcp_;
  grpc::reflection::v1alpha::ServerReflection::AsyncService service_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_REFLECTION_SERVICE_H_
