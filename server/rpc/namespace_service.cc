#include "server/rpc/namespace_service.h"

#include <utility>

#include "base/status_macros.h"
#include "server/registry/names.h"
#include "server/rpc/namespace_from_proto.h"
#include "server/rpc/page.h"

namespace shmd {
namespace {

// There is one list of namespaces.
constexpr char kListedBy[] = "namespaces";

}  // namespace

NamespaceService::NamespaceService(const ConnectionTable* connections,
                                   NamespaceRegistry* namespaces)
    : namespaces_(namespaces), methods_(connections, this) {
  using Async = v1::NamespaceService::AsyncService;
  methods_.Add("CreateNamespace", &service_, &Async::RequestCreateNamespace,
               &NamespaceService::CreateNamespace,
               &MayAlwaysWait<v1::CreateNamespaceRequest>);
  methods_.Add("GetNamespace", &service_, &Async::RequestGetNamespace,
               &NamespaceService::GetNamespace,
               &MayAlwaysWait<v1::GetNamespaceRequest>);
  methods_.Add("ListNamespaces", &service_, &Async::RequestListNamespaces,
               &NamespaceService::ListNamespaces,
               &MayAlwaysWait<v1::ListNamespacesRequest>);
  methods_.Add("UpdateNamespace", &service_, &Async::RequestUpdateNamespace,
               &NamespaceService::UpdateNamespace,
               &MayAlwaysWait<v1::UpdateNamespaceRequest>);
  methods_.Add("DeleteNamespace", &service_, &Async::RequestDeleteNamespace,
               &NamespaceService::DeleteNamespace,
               &MayAlwaysWait<v1::DeleteNamespaceRequest>);
}

absl::Status NamespaceService::CreateNamespace(
    const Caller& caller, const v1::CreateNamespaceRequest& request,
    v1::Namespace* reply) {
  ASSIGN_OR_RETURN(NamespaceRegistry::CreateCommand command,
                   CreateFromProto(request));
  ASSIGN_OR_RETURN(const NamespaceSnapshot made,
                   namespaces_->Create(caller, std::move(command)));
  NamespaceToProto(made, reply);
  return absl::OkStatus();
}

absl::Status NamespaceService::GetNamespace(
    const Caller& caller, const v1::GetNamespaceRequest& request,
    v1::Namespace* reply) {
  ASSIGN_OR_RETURN(const std::string name,
                   ParseNamespaceName("name", request.name()));
  ASSIGN_OR_RETURN(const NamespaceSnapshot found,
                   namespaces_->table().Get(caller, name));
  NamespaceToProto(found, reply);
  return absl::OkStatus();
}

absl::Status NamespaceService::ListNamespaces(
    const Caller& caller, const v1::ListNamespacesRequest& request,
    v1::ListNamespacesResponse* reply) {
  ASSIGN_OR_RETURN(const size_t limit, PageLimit(request.page_size()));
  std::string after;
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(after, ReadPageToken(kListedBy, request.page_token()));
  }
  // One more than asked for tells whether there is a next page.
  const std::vector<NamespaceSnapshot> found =
      namespaces_->table().List(caller, after, limit + 1);
  for (size_t i = 0; i < found.size() && i < limit; ++i) {
    NamespaceToProto(found[i], reply->add_namespaces());
  }
  if (found.size() > limit) {
    reply->set_next_page_token(
        MakePageToken(kListedBy, found[limit - 1].name_space.name));
  }
  return absl::OkStatus();
}

absl::Status NamespaceService::UpdateNamespace(
    const Caller& caller, const v1::UpdateNamespaceRequest& request,
    v1::Namespace* reply) {
  ASSIGN_OR_RETURN(NamespaceRegistry::UpdateCommand command,
                   UpdateFromProto(request));
  ASSIGN_OR_RETURN(const NamespaceSnapshot changed,
                   namespaces_->Update(caller, std::move(command)));
  NamespaceToProto(changed, reply);
  return absl::OkStatus();
}

absl::Status NamespaceService::DeleteNamespace(
    const Caller& caller, const v1::DeleteNamespaceRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string name,
                   ParseNamespaceName("name", request.name()));
  return namespaces_->Delete(caller, name, request.etag());
}

}  // namespace shmd
