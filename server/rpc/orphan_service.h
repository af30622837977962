#ifndef SHMD_SERVER_RPC_ORPHAN_SERVICE_H_
#define SHMD_SERVER_RPC_ORPHAN_SERVICE_H_

#include "server/access/connection_table.h"
#include "server/census/orphan_census.h"
#include "server/rpc/method_set.h"
#include "server/rpc/rpc_service.h"
#include "shmd/v1/orphan.grpc.pb.h"

namespace shmd {

// Shared memory that leaked on this host. Thread-safe. Borrows what it is
// given.
class OrphanService final : public RpcService {
 public:
  OrphanService(const ConnectionTable* connections, OrphanCensus* census);

  const char* name() const override {
    return v1::OrphanService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override { methods_.Await(queue); }

 private:
  absl::Status ListOrphans(const Caller& caller,
                           const v1::ListOrphansRequest& request,
                           v1::ListOrphansResponse* reply);
  absl::Status DeleteOrphan(const Caller& caller,
                            const v1::DeleteOrphanRequest& request,
                            google::protobuf::Empty* reply);

  OrphanCensus* const census_;
  v1::OrphanService::AsyncService service_;
  MethodSet<OrphanService> methods_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_ORPHAN_SERVICE_H_
