#ifndef SHMD_SERVER_RPC_HEALTH_SERVICE_H_
#define SHMD_SERVER_RPC_HEALTH_SERVICE_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc/call_queue.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/rpc_service.h"
#include "server/rpc/unary_call.h"

namespace shmd {

// The standard health service: SERVING from the start until Drain.
// Thread-safe.
class HealthService final : public RpcService {
 public:
  // Knows the daemon as a whole and the `services`.
  explicit HealthService(const std::vector<std::string>& services);

  const char* name() const override {
    return grpc::health::v1::Health::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override;

  // From now on NOT_SERVING, and ends what watches.
  void Drain();

 private:
  class Watch;
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;

  bool Knows(const std::string& service) const {
    return service.empty() || services_.contains(service);
  }
  grpc::Status Check(const Request& request, Response* response) const;
  ReplySource* StartWatch(const Request& request,
                          ReplyWriter<Response>* writer);
  void Forget(Watch* watch);

  const absl::flat_hash_set<std::string> services_;
  grpc::health::v1::Health::AsyncService service_;
  UnaryMethod<Request, Response> check_;
  ReplyStreamMethod<Request, Response> watch_;
  mutable absl::Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<Watch*> watches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_HEALTH_SERVICE_H_
