#ifndef SHMD_SERVER_RPC_SYNC_SERVICE_H_
#define SHMD_SERVER_RPC_SYNC_SERVICE_H_

#include <string>

#include "server/access/connection_table.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/rpc_service.h"
#include "server/sync/sync_registry.h"
#include "shmd/v1/sync.grpc.pb.h"

namespace shmd {

// Pages for sessions that lock, who locks what, and primitives that stand
// alone. Thread-safe. Borrows what it is given.
class SyncService final : public RpcService {
 public:
  SyncService(const ConnectionTable* connections, SegmentRegistry* segments,
              SyncRegistry* sync);

  const char* name() const override {
    return v1::SyncService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override { methods_.Await(queue); }

 private:
  absl::Status OpenSyncPage(const Caller& caller,
                            const v1::OpenSyncPageRequest& request,
                            v1::SyncPage* reply);
  absl::Status ListLocks(const Caller& caller,
                         const v1::ListLocksRequest& request,
                         v1::ListLocksResponse* reply);
  absl::Status BreakLock(const Caller& caller,
                         const v1::BreakLockRequest& request,
                         google::protobuf::Empty* reply);
  absl::Status CreateSyncPrimitive(
      const Caller& caller, const v1::CreateSyncPrimitiveRequest& request,
      v1::SyncPrimitive* reply);
  absl::Status GetSyncPrimitive(const Caller& caller,
                                const v1::GetSyncPrimitiveRequest& request,
                                v1::SyncPrimitive* reply);
  absl::Status ListSyncPrimitives(const Caller& caller,
                                  const v1::ListSyncPrimitivesRequest& request,
                                  v1::ListSyncPrimitivesResponse* reply);
  absl::Status DeleteSyncPrimitive(
      const Caller& caller, const v1::DeleteSyncPrimitiveRequest& request,
      google::protobuf::Empty* reply);

  SegmentRegistry* const segments_;
  SyncRegistry* const sync_;
  v1::SyncService::AsyncService service_;
  MethodSet<SyncService> methods_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SYNC_SERVICE_H_
