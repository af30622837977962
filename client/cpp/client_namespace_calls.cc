#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"

// Namespaces: their messages, and the RPCs of Client.

namespace shmd {
inline namespace client {
namespace {

using NamespaceStub = v1::NamespaceService::Stub;

// `namespaces/ID` of a whole name or its last part.
std::string NamespaceName(absl::string_view name) {
  return absl::StrContains(name, '/') ? std::string(name)
                                      : absl::StrCat("namespaces/", name);
}

void QuotaToProto(const Quota& quota, v1::Quota* proto) {
  if (quota.bytes.has_value()) proto->set_bytes(*quota.bytes);
  if (quota.segments.has_value()) proto->set_segments(*quota.segments);
  if (quota.sessions.has_value()) proto->set_sessions(*quota.sessions);
  if (quota.watches.has_value()) proto->set_watches(*quota.watches);
  if (quota.descriptors.has_value()) {
    proto->set_descriptors(*quota.descriptors);
  }
  if (quota.huge_page_bytes.has_value()) {
    proto->set_huge_page_bytes(*quota.huge_page_bytes);
  }
  if (quota.spilled_bytes.has_value()) {
    proto->set_spilled_bytes(*quota.spilled_bytes);
  }
}

Quota QuotaFromProto(const v1::Quota& proto) {
  Quota out;
  if (proto.has_bytes()) out.bytes = proto.bytes();
  if (proto.has_segments()) out.segments = proto.segments();
  if (proto.has_sessions()) out.sessions = proto.sessions();
  if (proto.has_watches()) out.watches = proto.watches();
  if (proto.has_descriptors()) out.descriptors = proto.descriptors();
  if (proto.has_huge_page_bytes()) {
    out.huge_page_bytes = proto.huge_page_bytes();
  }
  if (proto.has_spilled_bytes()) out.spilled_bytes = proto.spilled_bytes();
  return out;
}

v1::Namespace::WhenFull WhenFullToProto(WhenFull when_full) {
  switch (when_full) {
    case WhenFull::kEvict:
      return v1::Namespace::EVICT;
    case WhenFull::kSpill:
      return v1::Namespace::SPILL;
    case WhenFull::kRefuse:
      break;
  }
  return v1::Namespace::REFUSE;
}

// What a newer daemon may say is as good as a refusal to those who put.
WhenFull WhenFullFromProto(v1::Namespace::WhenFull proto) {
  switch (proto) {
    case v1::Namespace::EVICT:
      return WhenFull::kEvict;
    case v1::Namespace::SPILL:
      return WhenFull::kSpill;
    default:
      return WhenFull::kRefuse;
  }
}

void NamespaceToProto(const NamespaceSpec& spec, v1::Namespace* proto) {
  if (spec.entrants.has_value()) {
    v1::Entrants* const entrants = proto->mutable_entrants();
    for (const uint32_t uid : spec.entrants->uids) entrants->add_uids(uid);
    for (const uint32_t gid : spec.entrants->gids) entrants->add_gids(gid);
    for (const std::string& name : spec.entrants->certificate_names) {
      entrants->add_certificate_names(name);
    }
  }
  if (spec.quota.has_value()) QuotaToProto(*spec.quota, proto->mutable_quota());
  if (spec.uid_quota.has_value()) {
    QuotaToProto(*spec.uid_quota, proto->mutable_uid_quota());
  }
  if (spec.when_full.has_value()) {
    proto->set_when_full(WhenFullToProto(*spec.when_full));
  }
  proto->set_etag(spec.etag);
}

Namespace NamespaceFromProto(const v1::Namespace& proto) {
  Namespace out;
  out.name = proto.name();
  const v1::Entrants& entrants = proto.entrants();
  out.entrants.uids.assign(entrants.uids().begin(), entrants.uids().end());
  out.entrants.gids.assign(entrants.gids().begin(), entrants.gids().end());
  out.entrants.certificate_names.assign(entrants.certificate_names().begin(),
                                        entrants.certificate_names().end());
  out.quota = QuotaFromProto(proto.quota());
  out.uid_quota = QuotaFromProto(proto.uid_quota());
  out.when_full = WhenFullFromProto(proto.when_full());
  out.usage = QuotaFromProto(proto.usage());
  for (const v1::UidUsage& one : proto.uid_usages()) {
    out.uid_usages.push_back({one.uid(), QuotaFromProto(one.usage())});
  }
  if (proto.has_create_time()) {
    out.create_time = TimeFromProto(proto.create_time());
  }
  out.etag = proto.etag();
  return out;
}

}  // namespace

absl::StatusOr<Namespace> Client::CreateNamespace(absl::string_view id,
                                                  const NamespaceSpec& spec) {
  v1::CreateNamespaceRequest request;
  request.set_namespace_id(std::string(id));
  NamespaceToProto(spec, request.mutable_namespace_());
  v1::Namespace reply;
  RETURN_IF_ERROR(impl_->Call(&NamespaceStub::CreateNamespace, request, reply,
                              Repeat::kHarmful));
  return NamespaceFromProto(reply);
}

absl::StatusOr<Namespace> Client::GetNamespace(absl::string_view name) {
  v1::GetNamespaceRequest request;
  request.set_name(NamespaceName(name));
  v1::Namespace reply;
  RETURN_IF_ERROR(impl_->Call(&NamespaceStub::GetNamespace, request, reply));
  return NamespaceFromProto(reply);
}

absl::StatusOr<std::vector<Namespace>> Client::ListNamespaces() {
  std::vector<Namespace> out;
  v1::ListNamespacesRequest request;
  request.set_page_size(kListPageSize);
  do {
    v1::ListNamespacesResponse reply;
    RETURN_IF_ERROR(
        impl_->Call(&NamespaceStub::ListNamespaces, request, reply));
    for (const v1::Namespace& one : reply.namespaces()) {
      out.push_back(NamespaceFromProto(one));
    }
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return out;
}

absl::StatusOr<Namespace> Client::UpdateNamespace(absl::string_view name,
                                                  const NamespaceSpec& spec) {
  v1::UpdateNamespaceRequest request;
  NamespaceToProto(spec, request.mutable_namespace_());
  request.mutable_namespace_()->set_name(NamespaceName(name));
  v1::Namespace reply;
  RETURN_IF_ERROR(
      impl_->Call(&NamespaceStub::UpdateNamespace, request, reply,
                  spec.etag.empty() ? Repeat::kHarmless : Repeat::kHarmful));
  return NamespaceFromProto(reply);
}

absl::Status Client::DeleteNamespace(absl::string_view name,
                                     absl::string_view etag) {
  v1::DeleteNamespaceRequest request;
  request.set_name(NamespaceName(name));
  request.set_etag(std::string(etag));
  google::protobuf::Empty reply;
  return impl_->Call(&NamespaceStub::DeleteNamespace, request, reply,
                     Repeat::kHarmful);
}

}  // namespace client
}  // namespace shmd
