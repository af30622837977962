#include "server/registry/namespace_registry.h"

#include <sodium.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/store/namespace_record.h"

namespace shmd {
namespace {

constexpr uint64_t kFairWatches = 256;

// Far from those of any namespace that had the name before.
uint64_t RandomRevision() {
  uint64_t revision = 0;
  randombytes_buf(&revision, sizeof(revision));
  return revision;
}

absl::Status CommitOne(Store& store, const Change& change) {
  return store.Commit(absl::MakeConstSpan(&change, 1), Durability::kPowerLoss);
}

}  // namespace

Amounts FairShare(uint64_t memory_descriptors, uint64_t connections) {
  Amounts share = Amounts::Unlimited();
  share.descriptors = std::max<uint64_t>(memory_descriptors / 2, 1);
  share.sessions = std::max<uint64_t>(connections / 2, 1);
  share.watches = kFairWatches;
  return share;
}

std::string EtagOf(const Namespace& name_space) {
  return absl::StrFormat("%x", name_space.revision);
}

absl::Status NamespaceRegistry::TakeUp() {
  ASSIGN_OR_RETURN(const std::vector<Record> records,
                   store_->Load(RecordKind::kNamespace));
  for (const auto& record : records) {
    absl::StatusOr<Namespace> name_space =
        ParseNamespaceRecord(record.key, record.value);
    if (name_space.ok()) {
      RETURN_IF_ERROR(table_->Add(*std::move(name_space)));
    } else {
      // Its segments are out of reach, and kept.
      Log(LogLevel::kError, absl::StrCat("namespace ", record.key, ": ",
                                         name_space.status().message()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<NamespaceSnapshot> NamespaceRegistry::Create(
    const Caller& caller, CreateCommand command) {
  if (!caller.is_administrator) return CallerNotAllowed(caller);
  RETURN_IF_ERROR(CheckNamespaceId("namespace_id", command.id));
  Namespace name_space;
  name_space.name = command.id;
  name_space.entrants = std::move(command.entrants);
  name_space.quota = command.quota;
  name_space.uid_quota = command.uid_quota.value_or(uid_quota_);
  name_space.when_full = command.when_full;
  name_space.revision = RandomRevision();
  name_space.create_time = clock_->WallTime();
  absl::MutexLock lock(&change_);
  RETURN_IF_ERROR(table_->CheckAddable(command.id));
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("namespace.create"));
  RETURN_IF_ERROR(CommitOne(*store_, PutOf(name_space)));
  SHMD_FAILPOINT("namespace.created");
  RETURN_IF_ERROR(table_->Add(std::move(name_space)));
  return table_->Get(caller, command.id);
}

absl::StatusOr<NamespaceSnapshot> NamespaceRegistry::Changeable(
    const Caller& caller, const std::string& name,
    const std::string& etag) const {
  ASSIGN_OR_RETURN(NamespaceSnapshot found, table_->Get(caller, name));
  if (!caller.is_administrator) return CallerNotAllowed(caller);
  if (!etag.empty() && etag != EtagOf(found.name_space)) {
    return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
                 "the namespace was changed since; read it again")
        .With("namespace", name);
  }
  return found;
}

absl::StatusOr<NamespaceSnapshot> NamespaceRegistry::Update(
    const Caller& caller, UpdateCommand command) {
  absl::MutexLock lock(&change_);
  ASSIGN_OR_RETURN(NamespaceSnapshot found,
                   Changeable(caller, command.name, command.etag));
  Namespace& changed = found.name_space;
  if (command.entrants.has_value()) {
    changed.entrants = *std::move(command.entrants);
  }
  if (command.quota.has_value()) changed.quota = *command.quota;
  if (command.uid_quota.has_value()) changed.uid_quota = *command.uid_quota;
  if (command.when_full.has_value()) changed.when_full = *command.when_full;
  ++changed.revision;
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("namespace.update"));
  RETURN_IF_ERROR(CommitOne(*store_, PutOf(changed)));
  SHMD_FAILPOINT("namespace.updated");
  table_->Replace(std::move(changed));
  return table_->Get(caller, command.name);
}

absl::Status NamespaceRegistry::Delete(const Caller& caller,
                                       const std::string& name,
                                       const std::string& etag) {
  absl::MutexLock lock(&change_);
  ASSIGN_OR_RETURN(NamespaceSnapshot found, Changeable(caller, name, etag));
  // First, so that nothing begins in it while its record goes.
  RETURN_IF_ERROR(table_->Remove(name));
  absl::Status recorded = SHMD_FAILPOINT_STATUS("namespace.remove");
  if (recorded.ok()) {
    recorded = CommitOne(*store_, RemovalOfNamespace(name));
  }
  SHMD_FAILPOINT("namespace.removed");
  if (recorded.ok()) return recorded;
  table_->Add(std::move(found.name_space)).IgnoreError();
  return recorded;
}

}  // namespace shmd
