// What is recorded of segments, and where memfds are kept, so that the next run
// of the daemon finds them.
//
// A create goes in steps, any of which may be the daemon's last: an intent
// names the object; the object is made with a mark; memfds go to the keeper;
// the record of the segment replaces the intent; the object loses its mark. The
// next run removes marked objects of intents, and descriptors without a record,
// and finishes objects that have one.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"
#include "server/store/grant_record.h"
#include "server/store/intent_record.h"
#include "server/store/request_record.h"
#include "server/store/session_record.h"
#include "shm/object_names.h"

namespace shmd {
namespace {

// SysV objects are known by their makers, memfds end with the daemon.
bool NeedsIntent(BackendKind backend) {
  return backend == BackendKind::kPosix || backend == BackendKind::kMappedFile;
}

std::vector<std::string> KeptNames(absl::Span<const EntryPtr> entries) {
  std::vector<std::string> names;
  for (const EntryPtr& entry : entries) {
    if (!entry->kept_name.empty()) names.push_back(entry->kept_name);
  }
  return names;
}

}  // namespace

absl::Status SegmentRegistry::Intend(absl::Span<Pending> pending,
                                     const CreateOrder& order) {
  std::vector<Change> changes;
  for (size_t i = 0; i < order.size(); ++i) {
    const SegmentOptions& options = order[i].options;
    if (!NeedsIntent(options.backend)) continue;
    Intent intent;
    intent.segment = pending[i].uid;
    intent.object.backend = options.backend;
    intent.object.posix_name = options.posix_name;
    if (options.backend == BackendKind::kPosix && options.posix_name.empty()) {
      pending[i].posix_name = RandomPosixName();
      intent.object.posix_name = pending[i].posix_name;
    }
    intent.object.file_path = options.file_path;
    changes.push_back(PutOf(intent));
  }
  if (changes.empty()) return absl::OkStatus();
  return parts_.store->Commit(changes, Durability::kDaemonDeath);
}

bool SegmentRegistry::KeepsMemfds() const {
  return parts_.descriptors != nullptr && parts_.descriptors->available();
}

absl::Status SegmentRegistry::Keep(const Made& made) {
  DescriptorStore* const descriptors = parts_.descriptors;
  if (!KeepsMemfds()) return absl::OkStatus();
  std::vector<int> fds;
  std::vector<SegmentEntry*> entries;
  for (const EntryPtr& entry : made.entries) {
    if (!entry->object.memfd.valid()) continue;
    fds.push_back(entry->object.memfd.get());
    entries.push_back(entry.get());
  }
  if (fds.empty()) return absl::OkStatus();
  SHMD_FAILPOINT("create.keep");
  absl::StatusOr<std::vector<std::string>> names = descriptors->Store(fds);
  if (!names.ok()) {
    // Without a keeper memfds end with the daemon, as they were said to.
    return descriptors->available() ? names.status() : absl::OkStatus();
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i]->kept_name = std::move((*names)[i]);
  }
  return absl::OkStatus();
}

void SegmentRegistry::LetGo(absl::Span<const EntryPtr> entries) {
  const std::vector<std::string> names = KeptNames(entries);
  // What cannot be sent now is sent before the next one.
  if (!names.empty()) parts_.descriptors->Remove(names).IgnoreError();
}

absl::Status SegmentRegistry::RecordMade(const Caller& caller, const Made& made,
                                         absl::Span<const Pending> pending,
                                         const CreateOrder& order) {
  std::vector<Change> changes;
  const absl::Time now = parts_.clock->WallTime();
  for (size_t i = 0; i < made.entries.size(); ++i) {
    const SegmentEntry& entry = *made.entries[i];
    Segment& segment = *made.segments[i];
    segment.create_time = now;
    if (!IsRecorded(entry)) continue;
    changes.push_back(PutOf(StoredSegment{segment, entry.object.name}));
    if (NeedsIntent(segment.options.backend)) {
      changes.push_back(RemovalOfIntent(segment.uid));
    }
    // Those alike are found by the first.
    if (i >= order.commands().size() || order[i].request_id.empty()) continue;
    changes.push_back(PutOf(StoredRequest{
        {caller.uid, order[i].request_id},
        {order[i].fingerprint, segment.uid, segment.generation}}));
    if (pending[i].forgotten_request.has_value()) {
      changes.push_back(RemovalOf(*pending[i].forgotten_request));
    }
  }
  if (changes.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("create.record"));
  return parts_.store->Commit(changes, Durability::kDaemonDeath);
}

bool SegmentRegistry::OutlivesPower(const Made& made) {
  return std::any_of(
      made.entries.begin(), made.entries.end(), [](const EntryPtr& entry) {
        return DurabilityOf(entry->object.name) == Durability::kPowerLoss;
      });
}

void SegmentRegistry::Abandon(const Made& made,
                              absl::Span<const Pending> pending) {
  DisownAll(made.segments);
  std::vector<Change> changes;
  for (size_t i = 0; i < made.entries.size(); ++i) {
    // Nothing is mapped yet; what cannot be removed is the kernel's word
    // against its own of a moment ago.
    const SegmentEntry& entry = *made.entries[i];
    BackendOf(*made.segments[i]).Remove(entry.object).IgnoreError();
    if (IsRecorded(entry)) changes.push_back(RemovalOf(made.segments[i]->uid));
    absl::MutexLock lock(&mutex_);
    objects_.erase(ObjectKey(entry.object.name));
  }
  for (const Pending& one : pending) {
    if (NeedsIntent(one.backend)) changes.push_back(RemovalOfIntent(one.uid));
  }
  LetGo(made.entries);
  if (changes.empty()) return;
  const absl::Status status =
      parts_.store->Commit(changes, Durability::kDaemonDeath);
  // The next run finds nothing under their names, and forgets them.
  if (!status.ok()) {
    Log(LogLevel::kError,
        absl::StrCat("records of a failed create remain: ", status.message()));
  }
}

absl::Status SegmentRegistry::RecordRemoval(absl::Span<const EntryPtr> entries,
                                            Durability durability) {
  std::vector<Change> changes;
  {
    absl::MutexLock lock(&mutex_);
    for (const EntryPtr& entry : entries) {
      if (!IsRecorded(*entry)) continue;
      changes.push_back(RemovalOf(entry->segment->uid));
      for (const Grant& grant : grants_.Of(entry->segment->uid)) {
        changes.push_back(RemovalOf(grant));
      }
    }
  }
  if (changes.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("remove.record"));
  return parts_.store->Commit(changes, durability);
}

absl::Status SegmentRegistry::RecordSession(const SessionIdentity& session) {
  const Change change = PutOf(session);
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("session.record"));
  return parts_.store->Commit(absl::MakeConstSpan(&change, 1),
                              Durability::kDaemonDeath);
}

}  // namespace shmd
