// The end of segments: deleted, given back, or expired.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"

namespace shmd {
namespace {

// What stands against the removal of a segment that the caller may manage.
absl::Status CheckRemovable(const SegmentEntry& entry,
                            const RemoveCommand& command, bool disown) {
  const Segment& segment = *entry.segment;
  if (segment.role != SegmentRole::kOrdinary) return SegmentReserved(segment);
  if (command.most_bytes != UINT64_MAX &&
      (segment.options.backend == BackendKind::kMappedFile ||
       segment.options.size_bytes > command.most_bytes)) {
    return InvalidField("name", reason::kRequestInvalid,
                        "is of a mapped file, or more than 1 MiB, so the "
                        "request must say that it may take long");
  }
  if (disown) {
    if (segment.options.backend != BackendKind::kMemfd) {
      return absl::OkStatus();
    }
    return Error(absl::StatusCode::kUnimplemented, reason::kBackendUnsupported,
                 "a memfd segment has no name to live on by")
        .With("backend", "MEMFD");
  }
  if (command.revoke_memory) {
    if (segment.options.revocable) return absl::OkStatus();
    return Error(absl::StatusCode::kFailedPrecondition, reason::kNotRevocable,
                 "the segment was not created as revocable")
        .With("name", segment.name.ToString());
  }
  if (command.force) return absl::OkStatus();
  if (segment.adopted) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentAdopted,
                 "another program made it: disown it, or delete by force")
        .With("name", segment.name.ToString());
  }
  if (entry.attachments > 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentInUse,
                 "the segment is attached; force removes it all the same")
        .With("name", segment.name.ToString())
        .With("attachments", entry.attachments);
  }
  return absl::OkStatus();
}

// Its pages are given back in the time of a few system calls.
bool IsSmallMemfd(const SegmentOptions& options) {
  constexpr uint64_t kSmallBytes = 1 << 20;
  return options.backend == BackendKind::kMemfd &&
         options.size_bytes <= kSmallBytes && !options.lock_in_memory;
}

// What a removed segment gives back although it is attached: its memory exists,
// and its memfd stays open, for as long as somebody is.
Budget::Use UseWithoutMemory(const Segment& segment) {
  Budget::Use use;
  use.segments = UseOf(segment.options, segment.role).segments;
  return use;
}

bool IsDue(const SegmentEntry& entry, absl::Duration now) {
  const std::optional<absl::Duration>& end = entry.segment->expire_at;
  return entry.doomed || (end.has_value() && *end <= now);
}

}  // namespace

absl::StatusOr<std::vector<EntryPtr>> SegmentRegistry::Claim(
    const Caller& caller, const RemoveCommand& command, RemoveKind kind) {
  std::vector<EntryPtr> entries;
  entries.reserve(command.names.size());
  absl::MutexLock lock(&mutex_);
  absl::Status status;
  const SegmentName* previous = nullptr;
  for (const SegmentName& name : command.names) {
    // The members of a batch are of one namespace.
    const bool entered =
        previous != nullptr && previous->name_space == name.name_space;
    previous = &name;
    absl::StatusOr<EntryPtr> entry =
        entered ? FindEntered(name) : FindEntry(caller, name);
    if (!entry.ok()) {
      status = entry.status();
    } else if (!MayManage(caller, (*entry)->segment->ownership())) {
      status = CallerNotAllowed(caller);
    } else {
      status = CheckEtag(*(*entry)->segment, command.etag);
      if (status.ok()) {
        status = CheckRemovable(**entry, command, kind == RemoveKind::kDisown);
      }
    }
    if (!status.ok()) {
      if (command.names.size() > 1) {
        status = AtIndex(status, "names", entries.size());
      }
      break;
    }
    (*entry)->claimed = true;
    entries.push_back(*std::move(entry));
  }
  if (!status.ok()) {
    for (const EntryPtr& entry : entries) entry->claimed = false;
    return status;
  }
  return entries;
}

void SegmentRegistry::Unclaim(const EntryPtr& entry) {
  entry->claimed = false;
  // Its end may have come meanwhile, and been passed over.
  const std::optional<absl::Duration>& end = entry->segment->expire_at;
  if (entry->doomed) {
    expiries_.Set(entry->segment->uid, absl::ZeroDuration());
  } else if (end.has_value()) {
    expiries_.Set(entry->segment->uid, *end);
  }
}

void SegmentRegistry::Unpublish(const EntryPtr& entry) {
  const SegmentPtr& last = entry->segment;
  by_name_.erase(IndexKey(last->name).view());
  by_uid_.erase(last->uid);
  if (entry->object.name.backend != BackendKind::kMemfd) {
    const auto object = objects_.find(ObjectKey(entry->object.name));
    if (object != objects_.end() && object->second == last->uid) {
      objects_.erase(object);
    }
  }
  if (last->expire_at.has_value() || entry->doomed) {
    expiries_.Set(last->uid, absl::InfiniteDuration());
  }
  if (last->lifetime != Lifetime::kUntilDeleted) {
    parts_.sessions->Disown(last->owner_session, last->uid);
  }
  grants_.ForgetAll(last->uid);
  entry->removed = true;
  GiveBackUse(last->name.name_space, last->options.owner,
              entry->attachments > 0 ? UseWithoutMemory(*last)
                                     : UseOf(last->options, last->role));
  parts_.events->AppendRemoval(last);
}

absl::Status SegmentRegistry::DeleteClaimed(
    const std::vector<EntryPtr>& entries) {
  SHMD_FAILPOINT("delete.claimed");
  absl::Status first_failure;
  std::vector<EntryPtr> removed, kept;
  removed.reserve(entries.size());
  for (const EntryPtr& entry : entries) {
    absl::MutexLock operation(&entry->operation);
    SHMD_FAILPOINT("delete.remove");
    const absl::Status status =
        BackendOf(*entry->segment).Remove(entry->object);
    SHMD_FAILPOINT("delete.removed");
    first_failure.Update(status);
    (status.ok() ? removed : kept).push_back(entry);
  }
  // The objects are gone, so the segments are, whatever becomes of their
  // records: one that is left names an object that no longer exists, and the
  // next start forgets it.
  const absl::Status recorded =
      RecordRemoval(removed, Durability::kDaemonDeath);
  if (!recorded.ok()) {
    Log(LogLevel::kError, absl::StrCat("records of deleted segments remain: ",
                                       recorded.message()));
  }
  SHMD_FAILPOINT("delete.recorded");
  LetGo(removed);
  SHMD_FAILPOINT("delete.let_go");
  absl::MutexLock lock(&mutex_);
  for (const EntryPtr& entry : kept) Unclaim(entry);
  for (const EntryPtr& entry : removed) Unpublish(entry);
  SHMD_FAILPOINT("delete.unpublished");
  return first_failure;
}

absl::Status SegmentRegistry::DisownClaimed(
    const std::vector<EntryPtr>& entries) {
  SHMD_FAILPOINT("disown.claimed");
  Durability durability = Durability::kDaemonDeath;
  for (const EntryPtr& entry : entries) {
    // Whoever still changes it has made its record by then.
    absl::MutexLock operation(&entry->operation);
    // A record that came back would take back what was given away.
    durability = std::max(durability, DurabilityOf(entry->object.name));
  }
  const absl::Status status = RecordRemoval(entries, durability);
  SHMD_FAILPOINT("disown.recorded");
  absl::MutexLock lock(&mutex_);
  for (const EntryPtr& entry : entries) {
    // Its object lives on, and so would a record: the next start would take
    // back what was given away.
    if (status.ok()) {
      Unpublish(entry);
    } else {
      Unclaim(entry);
    }
  }
  return status;
}

absl::Status SegmentRegistry::RemoveClaimed(
    const std::vector<EntryPtr>& entries, RemoveKind kind) {
  return kind == RemoveKind::kDelete ? DeleteClaimed(entries)
                                     : DisownClaimed(entries);
}

absl::Status SegmentRegistry::Remove(const Caller& caller,
                                     const RemoveCommand& command,
                                     RemoveKind kind) {
  ASSIGN_OR_RETURN(const std::vector<EntryPtr> entries,
                   Claim(caller, command, kind));
  return RemoveClaimed(entries, kind);
}

absl::Status SegmentRegistry::Delete(const Caller& caller,
                                     const RemoveCommand& command) {
  if (!command.revoke_memory) {
    return Remove(caller, command, RemoveKind::kDelete);
  }
  ASSIGN_OR_RETURN(const std::vector<EntryPtr> entries,
                   Claim(caller, command, RemoveKind::kDelete));
  for (const EntryPtr& entry : entries) {
    absl::MutexLock operation(&entry->operation);
    const absl::Status revoked =
        BackendOf(*entry->segment).Revoke(entry->object);
    if (revoked.ok()) continue;
    absl::MutexLock lock(&mutex_);
    for (const EntryPtr& claimed : entries) Unclaim(claimed);
    return revoked;
  }
  return DeleteClaimed(entries);
}

bool SegmentRegistry::DeleteAtOnce(const Caller& caller,
                                   const RemoveCommand& command) {
  // Closes the memfd at its end, when the mutex is free again.
  EntryPtr entry;
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<EntryPtr> found = FindEntry(caller, command.names.front());
  if (!found.ok()) return false;
  entry = *std::move(found);
  const Segment& segment = *entry->segment;
  if (segment.role != SegmentRole::kOrdinary ||
      !IsSmallMemfd(segment.options) || IsRecorded(*entry) ||
      entry->attachments > 0 || !MayManage(caller, segment.ownership()) ||
      !CheckEtag(segment, command.etag).ok() ||
      !CheckRemovable(*entry, command, /*disown=*/false).ok() ||
      !entry->operation.TryLock()) {
    return false;
  }
  entry->claimed = true;
  Unpublish(entry);
  entry->operation.Unlock();
  return true;
}

absl::Status SegmentRegistry::RemoveReserved(const EntryPtr& entry) {
  {
    absl::MutexLock lock(&mutex_);
    if (entry->claimed || entry->removed) return absl::OkStatus();
    entry->claimed = true;
  }
  return RemoveClaimed({entry}, RemoveKind::kDelete);
}

absl::Status SegmentRegistry::Disown(const Caller& caller,
                                     const RemoveCommand& command) {
  return Remove(caller, command, RemoveKind::kDisown);
}

void SegmentRegistry::RemoveExpired() {
  const absl::Duration now = parts_.clock->SinceBoot();
  for (const Uid& uid : expiries_.TakeDue(now)) {
    EntryPtr entry;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = by_uid_.find(uid);
      if (found == by_uid_.end() || found->second->claimed) continue;
      entry = found->second;
      // An update may have moved the end since it was found due.
      if (!IsDue(*entry, now)) continue;
      entry->claimed = true;
    }
    const RemoveKind kind =
        entry->segment->adopted ? RemoveKind::kDisown : RemoveKind::kDelete;
    if (!RemoveClaimed({entry}, kind).ok()) {
      // Try again; nobody waits for the answer.
      expiries_.Set(uid, parts_.clock->SinceBoot() + absl::Seconds(1));
    }
  }
}

}  // namespace shmd
