#ifndef SHMD_SERVER_RPC_SESSION_SERVICE_H_
#define SHMD_SERVER_RPC_SESSION_SERVICE_H_

#include "server/access/connection_table.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/rpc_service.h"
#include "server/session/session_table.h"
#include "shmd/v1/session.grpc.pb.h"

namespace shmd {

// Who is attached. Thread-safe. Borrows what it is given.
class SessionService final : public RpcService {
 public:
  SessionService(const ConnectionTable* connections, SegmentRegistry* registry,
                 const SessionTable* sessions);

  const char* name() const override {
    return v1::SessionService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override { methods_.Await(queue); }

 private:
  absl::Status GetSession(const Caller& caller,
                          const v1::GetSessionRequest& request,
                          v1::Session* reply);
  absl::Status ListSessions(const Caller& caller,
                            const v1::ListSessionsRequest& request,
                            v1::ListSessionsResponse* reply);
  absl::Status ListSegmentUsers(const Caller& caller,
                                const v1::ListSegmentUsersRequest& request,
                                v1::ListSegmentUsersResponse* reply);

  SegmentRegistry* const registry_;
  const SessionTable* const sessions_;
  v1::SessionService::AsyncService service_;
  MethodSet<SessionService> methods_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SESSION_SERVICE_H_
