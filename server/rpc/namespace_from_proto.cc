#include "server/rpc/namespace_from_proto.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/registry/names.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/time_to_proto.h"

namespace shmd {
namespace {

constexpr size_t kMaxCertificateNameBytes = 253;  // of a DNS name

template <typename List>
absl::Status CheckCount(absl::string_view field, const List& list) {
  if (static_cast<size_t>(list.size()) <= kMaxEntrants) return absl::OkStatus();
  return InvalidField(field, reason::kFieldInvalid,
                      absl::StrCat("has more than ", kMaxEntrants, " members"));
}

absl::StatusOr<Entrants> EntrantsFromProto(const v1::Entrants& proto) {
  Entrants entrants;
  RETURN_IF_ERROR(CheckCount("namespace.entrants.uids", proto.uids()));
  RETURN_IF_ERROR(CheckCount("namespace.entrants.gids", proto.gids()));
  RETURN_IF_ERROR(CheckCount("namespace.entrants.certificate_names",
                             proto.certificate_names()));
  for (const uint32_t uid : proto.uids()) {
    RETURN_IF_ERROR(CheckId("namespace.entrants.uids", uid));
    entrants.uids.push_back(uid);
  }
  for (const uint32_t gid : proto.gids()) {
    RETURN_IF_ERROR(CheckId("namespace.entrants.gids", gid));
    entrants.gids.push_back(gid);
  }
  for (const std::string& name : proto.certificate_names()) {
    if (name.empty() || name.size() > kMaxCertificateNameBytes) {
      return InvalidField("namespace.entrants.certificate_names",
                          reason::kFieldInvalid, "has not 1 to 253 bytes");
    }
    entrants.certificate_names.push_back(name);
  }
  return entrants;
}

Amounts LimitsFromProto(const v1::Quota& proto) {
  Amounts limits = Amounts::Unlimited();
  if (proto.has_bytes()) limits.bytes = proto.bytes();
  if (proto.has_segments()) limits.segments = proto.segments();
  if (proto.has_sessions()) limits.sessions = proto.sessions();
  if (proto.has_watches()) limits.watches = proto.watches();
  if (proto.has_descriptors()) limits.descriptors = proto.descriptors();
  if (proto.has_huge_page_bytes()) {
    limits.huge_page_bytes = proto.huge_page_bytes();
  }
  if (proto.has_spilled_bytes()) limits.spilled_bytes = proto.spilled_bytes();
  return limits;
}

// An amount that is kUnlimited stays absent.
void AmountsToProto(const Amounts& amounts, v1::Quota* proto) {
  if (amounts.bytes != kUnlimited) proto->set_bytes(amounts.bytes);
  if (amounts.segments != kUnlimited) proto->set_segments(amounts.segments);
  if (amounts.sessions != kUnlimited) proto->set_sessions(amounts.sessions);
  if (amounts.watches != kUnlimited) proto->set_watches(amounts.watches);
  if (amounts.descriptors != kUnlimited) {
    proto->set_descriptors(amounts.descriptors);
  }
  if (amounts.huge_page_bytes != kUnlimited) {
    proto->set_huge_page_bytes(amounts.huge_page_bytes);
  }
  if (amounts.spilled_bytes != kUnlimited) {
    proto->set_spilled_bytes(amounts.spilled_bytes);
  }
}

absl::StatusOr<WhenFull> WhenFullFromProto(v1::Namespace::WhenFull proto) {
  switch (proto) {
    case v1::Namespace::WHEN_FULL_UNSPECIFIED:
    case v1::Namespace::REFUSE:
      return WhenFull::kRefuse;
    case v1::Namespace::EVICT:
      return WhenFull::kEvict;
    case v1::Namespace::SPILL:
      return WhenFull::kSpill;
    default:
      return absl::StatusOr<WhenFull>(InvalidField(
          "namespace.when_full", reason::kFieldInvalid, "is not known"));
  }
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

absl::Status ApplyNamespacePath(const std::string& path,
                                const v1::Namespace& proto,
                                NamespaceRegistry::UpdateCommand* command) {
  if (path == "entrants") {
    ASSIGN_OR_RETURN(command->entrants, EntrantsFromProto(proto.entrants()));
  } else if (path == "quota") {
    command->quota = LimitsFromProto(proto.quota());
  } else if (path == "uid_quota") {
    command->uid_quota = LimitsFromProto(proto.uid_quota());
  } else if (path == "when_full") {
    ASSIGN_OR_RETURN(command->when_full, WhenFullFromProto(proto.when_full()));
  } else {
    return InvalidField("update_mask", reason::kFieldNotUpdatable,
                        "names what cannot be changed")
        .With("path", Excerpt(path, 128));
  }
  return absl::OkStatus();
}

// Without a mask: every field that can be changed and is set.
std::set<std::string> SetNamespacePaths(const v1::Namespace& proto) {
  std::set<std::string> paths;
  if (proto.has_entrants()) paths.insert("entrants");
  if (proto.has_quota()) paths.insert("quota");
  if (proto.has_uid_quota()) paths.insert("uid_quota");
  if (proto.when_full() != v1::Namespace::WHEN_FULL_UNSPECIFIED) {
    paths.insert("when_full");
  }
  return paths;
}

}  // namespace

absl::StatusOr<NamespaceRegistry::CreateCommand> CreateFromProto(
    const v1::CreateNamespaceRequest& request) {
  NamespaceRegistry::CreateCommand command;
  command.id = request.namespace_id();
  const v1::Namespace& proto = request.namespace_();
  ASSIGN_OR_RETURN(command.entrants, EntrantsFromProto(proto.entrants()));
  command.quota = LimitsFromProto(proto.quota());
  if (proto.has_uid_quota()) {
    command.uid_quota = LimitsFromProto(proto.uid_quota());
  }
  ASSIGN_OR_RETURN(command.when_full, WhenFullFromProto(proto.when_full()));
  return command;
}

absl::StatusOr<NamespaceRegistry::UpdateCommand> UpdateFromProto(
    const v1::UpdateNamespaceRequest& request) {
  NamespaceRegistry::UpdateCommand command;
  const v1::Namespace& proto = request.namespace_();
  ASSIGN_OR_RETURN(command.name,
                   ParseNamespaceName("namespace.name", proto.name()));
  command.etag = proto.etag();
  const auto& mask = request.update_mask().paths();
  // Each once, as for segments.
  const std::set<std::string> paths =
      mask.empty() ? SetNamespacePaths(proto)
                   : std::set<std::string>(mask.begin(), mask.end());
  if (paths.empty()) {
    return InvalidField("update_mask", reason::kFieldNotUpdatable,
                        "names nothing, and nothing is set");
  }
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(ApplyNamespacePath(path, proto, &command));
  }
  return command;
}

void NamespaceToProto(const NamespaceSnapshot& snapshot, v1::Namespace* proto) {
  const Namespace& name_space = snapshot.name_space;
  proto->set_name("namespaces/" + name_space.name);
  v1::Entrants* const entrants = proto->mutable_entrants();
  for (const uid_t uid : name_space.entrants.uids) entrants->add_uids(uid);
  for (const gid_t gid : name_space.entrants.gids) entrants->add_gids(gid);
  for (const std::string& name : name_space.entrants.certificate_names) {
    entrants->add_certificate_names(name);
  }
  AmountsToProto(name_space.quota, proto->mutable_quota());
  AmountsToProto(name_space.uid_quota, proto->mutable_uid_quota());
  proto->set_when_full(WhenFullToProto(name_space.when_full));
  AmountsToProto(snapshot.usage, proto->mutable_usage());
  for (const UidUsage& one : snapshot.uid_usages) {
    v1::UidUsage* const usage = proto->add_uid_usages();
    usage->set_uid(one.uid);
    AmountsToProto(one.usage, usage->mutable_usage());
  }
  if (name_space.create_time.has_value()) {
    TimeToProto(*name_space.create_time, proto->mutable_create_time());
  }
  proto->set_etag(EtagOf(name_space));
}

}  // namespace shmd
