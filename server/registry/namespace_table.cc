#include "server/registry/namespace_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/registry/names.h"

namespace shmd {
namespace {

struct Resource {
  uint64_t Amounts::*amount;
  const char* name;
  const char* unit;
};

constexpr Resource kResources[] = {
    {&Amounts::bytes, "bytes", "bytes"},
    {&Amounts::segments, "segments", "segments"},
    {&Amounts::sessions, "sessions", "sessions"},
    {&Amounts::watches, "watches", "watches"},
    {&Amounts::descriptors, "descriptors", "descriptors"},
    {&Amounts::huge_page_bytes, "huge_page_bytes", "bytes"},
    {&Amounts::spilled_bytes, "spilled_bytes", "bytes"},
};

void Add(const Amounts& more, Amounts* sum) {
  for (const Resource& one : kResources) sum->*one.amount += more.*one.amount;
}

// Never below nothing: a namespace whose record was lost and that was made
// anew has not counted what is older.
void Subtract(const Amounts& less, Amounts* sum) {
  for (const Resource& one : kResources) {
    sum->*one.amount -= std::min(sum->*one.amount, less.*one.amount);
  }
}

// Only what is asked for can be too much, not what is used already. Written so
// that no sum can wrap.
const Resource* FindExceeded(const Amounts& used, const Amounts& more,
                             const Amounts& limits) {
  for (const Resource& one : kResources) {
    const uint64_t limit = limits.*one.amount;
    const uint64_t in_use = used.*one.amount;
    const uint64_t left = limit > in_use ? limit - in_use : 0;
    if (more.*one.amount > left) return &one;
  }
  return nullptr;
}

Error QuotaExceeded(const Resource& which, absl::string_view whose,
                    absl::string_view name, const Amounts& used,
                    const Amounts& more, const Amounts& limits) {
  const uint64_t limit = limits.*which.amount;
  const uint64_t in_use = used.*which.amount;
  return Exhausted(
             reason::kQuotaExceeded,
             absl::StrCat(whose, " of ", which.name, " in namespace ", name),
             more.*which.amount, limit > in_use ? limit - in_use : 0,
             which.unit)
      .With("limit_value", limit)
      .With("namespace", name)
      .With("resource", which.name);
}

bool MayEnter(const Caller& caller, const Entrants& entrants) {
  if (caller.is_administrator) return true;
  if (entrants.uids.empty() && entrants.gids.empty() &&
      entrants.certificate_names.empty()) {
    // Everybody of this host; over TCP nobody is let in who is not named.
    return caller.certificate_names.empty();
  }
  const auto& uids = entrants.uids;
  if (std::find(uids.begin(), uids.end(), caller.uid) != uids.end()) {
    return true;
  }
  const auto& gids = entrants.gids;
  if (std::any_of(gids.begin(), gids.end(),
                  [&](gid_t gid) { return IsInGroup(caller, gid); })) {
    return true;
  }
  const auto& names = entrants.certificate_names;
  return std::find_first_of(names.begin(), names.end(),
                            caller.certificate_names.begin(),
                            caller.certificate_names.end()) != names.end();
}

}  // namespace

Amounts Amounts::Unlimited() {
  Amounts limits;
  for (const Resource& one : kResources) limits.*one.amount = kUnlimited;
  return limits;
}

bool operator==(const Amounts& a, const Amounts& b) {
  return std::all_of(
      std::begin(kResources), std::end(kResources),
      [&](const Resource& one) { return a.*one.amount == b.*one.amount; });
}

absl::Status CheckNamespaceId(absl::string_view field, absl::string_view id) {
  const auto is_allowed = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  };
  if (!id.empty() && id.size() <= kMaxNamespaceBytes &&
      absl::ascii_islower(id.front()) && id.back() != '-' &&
      std::all_of(id.begin(), id.end(), is_allowed)) {
    return absl::OkStatus();
  }
  return InvalidField(field, reason::kNameInvalid,
                      "is not 1 to 63 of [a-z0-9-], from a letter, not ending "
                      "in -");
}

absl::Status NamespaceNotFound(absl::string_view name) {
  return Error(absl::StatusCode::kNotFound, reason::kNamespaceNotFound,
               "there is no such namespace")
      .With("namespace", name);
}

NamespaceTable::NamespaceTable(Namespace initial_default) {
  initial_default.name = kDefaultNamespace;
  entries_[kDefaultNamespace].name_space = std::move(initial_default);
}

absl::Status NamespaceTable::CheckAddable(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  return CheckAddableLocked(name);
}

absl::Status NamespaceTable::CheckAddableLocked(absl::string_view name) const {
  if (entries_.contains(name)) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kNamespaceExists,
                 "the namespace exists")
        .With("namespace", name);
  }
  if (entries_.size() >= kMaxNamespaces) {
    return Exhausted(reason::kNamespaceLimitExceeded,
                     "the namespaces of a daemon", 1, 0, "namespaces")
        .With("limit_value", kMaxNamespaces);
  }
  return absl::OkStatus();
}

absl::Status NamespaceTable::Add(Namespace name_space) {
  if (name_space.name == kDefaultNamespace) {
    Replace(std::move(name_space));
    return absl::OkStatus();
  }
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckAddableLocked(name_space.name));
  std::string name = name_space.name;
  entries_[std::move(name)].name_space = std::move(name_space);
  return absl::OkStatus();
}

void NamespaceTable::Replace(Namespace name_space) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name_space.name);
  if (found == entries_.end()) return;
  found->second.name_space = std::move(name_space);
}

absl::Status NamespaceTable::Remove(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return NamespaceNotFound(name);
  const Amounts& usage = found->second.usage;
  if (name == kDefaultNamespace || !(usage == Amounts())) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kNamespaceInUse,
                 name == kDefaultNamespace
                     ? "the namespace `default` cannot be deleted"
                     : "something in the namespace is in use")
        .With("namespace", name)
        .With("segments", usage.segments)
        .With("bytes", usage.bytes)
        .With("sessions", usage.sessions)
        .With("watches", usage.watches);
  }
  entries_.erase(found);
  return absl::OkStatus();
}

absl::Status NamespaceTable::CheckEntry(const Caller& caller,
                                        absl::string_view name) const {
  {
    absl::MutexLock lock(&mutex_);
    const auto found = entries_.find(name);
    if (found != entries_.end() &&
        MayEnter(caller, found->second.name_space.entrants)) {
      return absl::OkStatus();
    }
  }
  return NamespaceNotFound(name);
}

absl::Status NamespaceTable::CheckExists(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  return entries_.contains(name) ? absl::OkStatus() : NamespaceNotFound(name);
}

WhenFull NamespaceTable::when_full(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? WhenFull::kRefuse
                                 : found->second.name_space.when_full;
}

absl::StatusOr<NamespaceSnapshot> NamespaceTable::Get(
    const Caller& caller, absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() ||
      !MayEnter(caller, found->second.name_space.entrants)) {
    return NamespaceNotFound(name);
  }
  const Entry& entry = found->second;
  NamespaceSnapshot snapshot{entry.name_space, entry.usage, {}};
  for (const auto& [uid, usage] : entry.uid_usages) {
    if (caller.is_administrator || caller.uid == uid) {
      snapshot.uid_usages.push_back({uid, usage});
    }
  }
  std::sort(snapshot.uid_usages.begin(), snapshot.uid_usages.end(),
            [](const UidUsage& a, const UidUsage& b) { return a.uid < b.uid; });
  if (snapshot.uid_usages.size() > kMaxUidUsages) {
    snapshot.uid_usages.resize(kMaxUidUsages);
  }
  return snapshot;
}

std::vector<NamespaceSnapshot> NamespaceTable::List(const Caller& caller,
                                                    absl::string_view after,
                                                    size_t limit) const {
  std::vector<NamespaceSnapshot> snapshots;
  absl::MutexLock lock(&mutex_);
  std::vector<const Entry*> found;
  for (const auto& [name, entry] : entries_) {
    if (name > after && MayEnter(caller, entry.name_space.entrants)) {
      found.push_back(&entry);
    }
  }
  std::sort(found.begin(), found.end(), [](const Entry* a, const Entry* b) {
    return a->name_space.name < b->name_space.name;
  });
  if (found.size() > limit) found.resize(limit);
  for (const Entry* entry : found) {
    snapshots.push_back({entry->name_space, entry->usage, {}});
  }
  return snapshots;
}

absl::Status NamespaceTable::CheckUid(const Entry& entry, uid_t uid,
                                      const Amounts& more) {
  const Namespace& name_space = entry.name_space;
  const auto found = entry.uid_usages.find(uid);
  const Amounts used =
      found == entry.uid_usages.end() ? Amounts() : found->second;
  const Resource* const exceeded =
      FindExceeded(used, more, name_space.uid_quota);
  if (exceeded == nullptr) return absl::OkStatus();
  return QuotaExceeded(*exceeded, "the user's quota", name_space.name, used,
                       more, name_space.uid_quota)
      .With("uid", uid);
}

absl::Status NamespaceTable::Take(absl::string_view name, uid_t uid,
                                  const Amounts& more) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return NamespaceNotFound(name);
  Entry& entry = found->second;
  RETURN_IF_ERROR(CheckUid(entry, uid, more));
  const Amounts& quota = entry.name_space.quota;
  const Resource* const exceeded = FindExceeded(entry.usage, more, quota);
  if (exceeded != nullptr) {
    return QuotaExceeded(*exceeded, "the quota", name, entry.usage, more,
                         quota);
  }
  shmd::Add(more, &entry.usage);
  AddToUid(entry, uid, more);
  return absl::OkStatus();
}

void NamespaceTable::TakeAnyway(absl::string_view name, uid_t uid,
                                const Amounts& more) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  shmd::Add(more, &found->second.usage);
  AddToUid(found->second, uid, more);
}

void NamespaceTable::GiveBack(absl::string_view name, uid_t uid,
                              const Amounts& less) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  Subtract(less, &found->second.usage);
  SubtractFromUid(found->second, uid, less);
}

absl::Status NamespaceTable::Move(absl::string_view name, uid_t from, uid_t to,
                                  const Amounts& amounts) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || from == to) return absl::OkStatus();
  RETURN_IF_ERROR(CheckUid(found->second, to, amounts));
  SubtractFromUid(found->second, from, amounts);
  AddToUid(found->second, to, amounts);
  return absl::OkStatus();
}

void NamespaceTable::MoveAnyway(absl::string_view name, uid_t from, uid_t to,
                                const Amounts& amounts) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  SubtractFromUid(found->second, from, amounts);
  AddToUid(found->second, to, amounts);
}

void NamespaceTable::AddToUid(Entry& entry, uid_t uid, const Amounts& more) {
  shmd::Add(more, &entry.uid_usages[uid]);
}

void NamespaceTable::SubtractFromUid(Entry& entry, uid_t uid,
                                     const Amounts& less) {
  const auto found = entry.uid_usages.find(uid);
  if (found == entry.uid_usages.end()) return;
  Subtract(less, &found->second);
  if (found->second == Amounts()) entry.uid_usages.erase(found);
}

}  // namespace shmd
