#ifndef SHMD_SERVER_RPC_NAMESPACE_SERVICE_H_
#define SHMD_SERVER_RPC_NAMESPACE_SERVICE_H_

#include "server/access/connection_table.h"
#include "server/registry/namespace_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/rpc_service.h"
#include "shmd/v1/namespace.grpc.pb.h"

namespace shmd {

// Trust domains and their quotas. Thread-safe. Borrows what it is given.
class NamespaceService final : public RpcService {
 public:
  NamespaceService(const ConnectionTable* connections,
                   NamespaceRegistry* namespaces);

  const char* name() const override {
    return v1::NamespaceService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override { methods_.Await(queue); }

 private:
  absl::Status CreateNamespace(const Caller& caller,
                               const v1::CreateNamespaceRequest& request,
                               v1::Namespace* reply);
  absl::Status GetNamespace(const Caller& caller,
                            const v1::GetNamespaceRequest& request,
                            v1::Namespace* reply);
  absl::Status ListNamespaces(const Caller& caller,
                              const v1::ListNamespacesRequest& request,
                              v1::ListNamespacesResponse* reply);
  absl::Status UpdateNamespace(const Caller& caller,
                               const v1::UpdateNamespaceRequest& request,
                               v1::Namespace* reply);
  absl::Status DeleteNamespace(const Caller& caller,
                               const v1::DeleteNamespaceRequest& request,
                               google::protobuf::Empty* reply);

  NamespaceRegistry* const namespaces_;
  v1::NamespaceService::AsyncService service_;
  MethodSet<NamespaceService> methods_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_NAMESPACE_SERVICE_H_
