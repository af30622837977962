#include "server/store/namespace_record.h"

#include "server/store/journal_file.h"
#include "server/store/record.pb.h"

namespace shmd {
namespace {

void FillAmounts(const Amounts& limits, store::AmountsRecord* record) {
  if (limits.bytes != kUnlimited) record->set_bytes(limits.bytes);
  if (limits.segments != kUnlimited) record->set_segments(limits.segments);
  if (limits.sessions != kUnlimited) record->set_sessions(limits.sessions);
  if (limits.watches != kUnlimited) record->set_watches(limits.watches);
  if (limits.descriptors != kUnlimited) {
    record->set_descriptors(limits.descriptors);
  }
  if (limits.huge_page_bytes != kUnlimited) {
    record->set_huge_page_bytes(limits.huge_page_bytes);
  }
  if (limits.spilled_bytes != kUnlimited) {
    record->set_spilled_bytes(limits.spilled_bytes);
  }
}

Amounts ReadAmounts(const store::AmountsRecord& record) {
  Amounts limits = Amounts::Unlimited();
  if (record.has_bytes()) limits.bytes = record.bytes();
  if (record.has_segments()) limits.segments = record.segments();
  if (record.has_sessions()) limits.sessions = record.sessions();
  if (record.has_watches()) limits.watches = record.watches();
  if (record.has_descriptors()) limits.descriptors = record.descriptors();
  if (record.has_huge_page_bytes()) {
    limits.huge_page_bytes = record.huge_page_bytes();
  }
  if (record.has_spilled_bytes()) limits.spilled_bytes = record.spilled_bytes();
  return limits;
}

}  // namespace

Change PutOf(const Namespace& name_space) {
  store::NamespaceRecord record;
  const Entrants& entrants = name_space.entrants;
  for (const uid_t uid : entrants.uids) record.add_uids(uid);
  for (const gid_t gid : entrants.gids) record.add_gids(gid);
  for (const std::string& name : entrants.certificate_names) {
    record.add_certificate_names(name);
  }
  FillAmounts(name_space.quota, record.mutable_quota());
  FillAmounts(name_space.uid_quota, record.mutable_uid_quota());
  record.set_when_full(static_cast<uint32_t>(name_space.when_full));
  record.set_revision(name_space.revision);
  if (name_space.create_time.has_value()) {
    record.set_create_time_ns(absl::ToUnixNanos(*name_space.create_time));
  }
  return {RecordKind::kNamespace, name_space.name, record.SerializeAsString()};
}

Change RemovalOfNamespace(absl::string_view name) {
  return {RecordKind::kNamespace, std::string(name), std::nullopt};
}

absl::StatusOr<Namespace> ParseNamespaceRecord(absl::string_view key,
                                               absl::string_view value) {
  store::NamespaceRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      !CheckNamespaceId("key", key).ok() ||
      record.when_full() > static_cast<uint32_t>(WhenFull::kSpill)) {
    return StoreFailed("read a namespace's record", "it is damaged");
  }
  Namespace name_space;
  name_space.name = std::string(key);
  Entrants& entrants = name_space.entrants;
  entrants.uids.assign(record.uids().begin(), record.uids().end());
  entrants.gids.assign(record.gids().begin(), record.gids().end());
  entrants.certificate_names.assign(record.certificate_names().begin(),
                                    record.certificate_names().end());
  name_space.quota = ReadAmounts(record.quota());
  name_space.uid_quota = ReadAmounts(record.uid_quota());
  name_space.when_full = static_cast<WhenFull>(record.when_full());
  name_space.revision = record.revision();
  if (record.has_create_time_ns()) {
    name_space.create_time = absl::FromUnixNanos(record.create_time_ns());
  }
  return name_space;
}

}  // namespace shmd
