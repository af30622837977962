// What an earlier run left: found again, or removed where it was half done.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"
#include "server/store/intent_record.h"
#include "server/store/request_record.h"
#include "server/store/session_record.h"
#include "shm/descriptor_object.h"
#include "shm/sys/memory.h"

// Since Linux 5.1; not in every libc's headers.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace shmd {
namespace {

SegmentState StateOfSeals(int seals) {
  if ((seals & F_SEAL_WRITE) != 0) return SegmentState::kSealed;
  if ((seals & F_SEAL_FUTURE_WRITE) != 0) return SegmentState::kClosedToWriters;
  return SegmentState::kActive;
}

bool IsGone(const absl::Status& status) {
  const std::string why = GetErrorReason(status);
  return why == reason::kObjectNotFound || why == reason::kObjectReplaced;
}

}  // namespace

// The memfds that were kept while no daemon ran, by what they are.
class SegmentRegistry::KeptMemfds {
 public:
  explicit KeptMemfds(std::vector<KeptDescriptor> kept) {
    for (KeptDescriptor& one : kept) {
      struct stat found = {};
      if (fstat(one.fd.get(), &found) != 0) continue;
      kept_[{found.st_dev, found.st_ino}] = std::move(one);
    }
  }

  // Its name is empty when there is none.
  KeptDescriptor Take(const ObjectName& name) {
    const auto found = kept_.find({name.device, name.inode});
    if (found == kept_.end()) return {};
    KeptDescriptor taken = std::move(found->second);
    kept_.erase(found);
    return taken;
  }

  std::vector<std::string> NamesLeft() const {
    std::vector<std::string> names;
    for (const auto& [identity, one] : kept_) names.push_back(one.name);
    return names;
  }

 private:
  std::map<std::pair<uint64_t, uint64_t>, KeptDescriptor> kept_;
};

absl::Status SegmentRegistry::AwaitSessions() {
  ASSIGN_OR_RETURN(const std::vector<Record> records,
                   parts_.store->Load(RecordKind::kSession));
  for (const Record& record : records) {
    ASSIGN_OR_RETURN(SessionIdentity session,
                     ParseSessionRecord(record.key, record.value));
    parts_.sessions->Await(std::move(session));
  }
  return absl::OkStatus();
}

absl::Status SegmentRegistry::RemoveUnfinished() {
  ASSIGN_OR_RETURN(const std::vector<Record> records,
                   parts_.store->Load(RecordKind::kIntent));
  std::vector<Change> done;
  for (const Record& record : records) {
    ASSIGN_OR_RETURN(const Intent intent,
                     ParseIntentRecord(record.key, record.value));
    const absl::Status status = parts_.backends->Get(intent.object.backend)
                                    .RemoveUnfinished(intent.object);
    if (status.ok()) {
      done.push_back(RemovalOfIntent(intent.segment));
    } else {
      Log(LogLevel::kError, absl::StrCat("what a create left is still there: ",
                                         status.message()));
    }
  }
  const absl::Status status =
      parts_.backends->Get(BackendKind::kSysv).RemoveUnfinished({});
  if (!status.ok()) Log(LogLevel::kError, status.message());
  if (done.empty()) return absl::OkStatus();
  return parts_.store->Commit(done, Durability::kDaemonDeath);
}

absl::StatusOr<KernelObject> SegmentRegistry::Find(const StoredSegment& stored,
                                                   KeptMemfds& kept,
                                                   std::string* kept_name) {
  const SegmentOptions& options = stored.segment.options;
  if (options.backend != BackendKind::kMemfd) {
    return parts_.backends->Get(options.backend)
        .Reopen(stored.object, options.page_size_bytes);
  }
  KeptDescriptor found = kept.Take(stored.object);
  if (!found.fd.valid()) {
    return absl::StatusOr<KernelObject>(Error(absl::StatusCode::kNotFound,
                                              reason::kObjectNotFound,
                                              "nobody has kept the memfd"));
  }
  *kept_name = std::move(found.name);
  KernelObject object;
  object.name = stored.object;
  object.page_size_bytes = options.page_size_bytes;
  object.memfd = std::move(found.fd);
  return object;
}

absl::StatusOr<SegmentRegistry::TakeUpResult> SegmentRegistry::TakeUpStored(
    std::vector<KeptDescriptor> kept_descriptors) {
  RETURN_IF_ERROR(AwaitSessions());
  SHMD_FAILPOINT("take_up.awaited");
  ASSIGN_OR_RETURN(std::vector<StoredSegment> stored,
                   LoadSegments(*parts_.store));
  KeptMemfds kept(std::move(kept_descriptors));
  std::vector<Uid> gone;
  TakeUpResult result;
  for (StoredSegment& one : stored) {
    SHMD_FAILPOINT("take_up.segment");
    std::string kept_name;
    // Also of a namespace whose record was lost: then it is still kept.
    absl::StatusOr<KernelObject> object = Find(one, kept, &kept_name);
    if (object.ok()) {
      const absl::Status known =
          parts_.namespaces->CheckExists(one.segment.name.name_space);
      if (!known.ok()) object = known;
    }
    auto segment = std::make_shared<Segment>(std::move(one.segment));
    if (object.ok()) {
      TakeUpOne(std::move(segment), *std::move(object), std::move(kept_name));
      ++result.taken_up;
    } else if (IsGone(object.status())) {
      gone.push_back(segment->uid);
    } else {
      // Forgotten only when the kernel says that the object is no more; on any
      // other failure the record waits for the next start.
      ++result.out_of_reach;
      // A segment of the same name would replace the record.
      absl::MutexLock lock(&mutex_);
      by_name_[IndexKey(segment->name).view()] = nullptr;
      // Nobody adopts the object meanwhile, or takes it for a leak.
      const std::string key = ObjectKey(one.object);
      if (!key.empty()) objects_[key] = segment->uid;
      parts_.namespaces->TakeAnyway(
          segment->name.name_space, segment->options.owner,
          AmountsOf(UseOf(segment->options, segment->role)));
    }
  }
  result.gone = gone.size();
  SHMD_FAILPOINT("take_up.segments");
  // First: who repeats a request is not to be told of a segment that is gone.
  RETURN_IF_ERROR(TakeUpRequests(gone));
  SHMD_FAILPOINT("take_up.requests");
  RETURN_IF_ERROR(
      RemoveSegments(*parts_.store, gone, Durability::kDaemonDeath));
  SHMD_FAILPOINT("take_up.forgotten");
  RETURN_IF_ERROR(RemoveUnfinished());
  SHMD_FAILPOINT("take_up.removed");
  RETURN_IF_ERROR(grants_.TakeUp([this](const Uid& segment) {
    absl::MutexLock lock(&mutex_);
    return by_uid_.contains(segment);
  }));
  const std::vector<std::string> left = kept.NamesLeft();
  if (!left.empty()) RETURN_IF_ERROR(parts_.descriptors->Remove(left));
  SHMD_FAILPOINT("take_up.done");
  return result;
}

void SegmentRegistry::TakeUpOne(std::shared_ptr<Segment> segment,
                                KernelObject object, std::string kept_name) {
  if (segment->expire_time.has_value()) {
    // A lease is whole again: its holder could not renew it while there was
    // nobody to ask.
    const absl::Duration left = segment->lease_ttl.value_or(
        *segment->expire_time - parts_.clock->WallTime());
    segment->expire_at = parts_.clock->SinceBoot() + left;
    segment->expire_time = parts_.clock->WallTime() + left;
  }
  if (segment->lifetime != Lifetime::kUntilDeleted) {
    parts_.sessions->OwnAgain(segment->owner_session, segment->uid);
  }
  if (!segment->adopted && !IsSpillArena(segment->options, segment->role)) {
    Reconcile(object, segment.get());
  }
  Relock(*segment, object);
  auto entry = std::make_shared<SegmentEntry>(std::move(object));
  entry->kept_name = std::move(kept_name);
  const Budget::Use use = UseOf(segment->options, segment->role);
  budget_.TakeAnyway(use);
  parts_.namespaces->TakeAnyway(segment->name.name_space,
                                segment->options.owner, AmountsOf(use));
  absl::MutexLock lock(&mutex_);
  parts_.events->Append(EventType::kCreated, segment);
  entry->segment = std::move(segment);
  Index(entry);
  DoomUnlessOwned(entry);
}

// A change of the object comes before its record, or after it: the run may have
// ended in between.
void SegmentRegistry::Reconcile(const KernelObject& object, Segment* segment) {
  const Backend& backend = BackendOf(*segment);
  SegmentOptions& options = segment->options;
  const absl::StatusOr<ObjectStatus> found =
      backend.Status(object, /*with_nodes=*/false);
  if (!found.ok()) return;
  if (options.backend == BackendKind::kMemfd) {
    segment->state = StateOfSeals(found->seals);
  } else if (found->mode != options.mode || found->owner != options.owner ||
             found->group != options.group) {
    // What was recorded is what its owner was told, or would have been.
    const absl::Status status = backend.SetOwnership(
        object, options.mode, options.owner, options.group);
    if (!status.ok()) Log(LogLevel::kError, status.message());
  }
  if (options.resizable && found->size_bytes > 0) {
    options.size_bytes = found->size_bytes;
  }
}

// The locks of the last run ended with it; those of SysV are the segment's own.
void SegmentRegistry::Relock(const Segment& segment, KernelObject& object) {
  const SegmentOptions& options = segment.options;
  if (!options.lock_in_memory || options.backend == BackendKind::kSysv) return;
  const auto lock = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ObjectRef opened,
                     BackendOf(segment).Open(object, Access::kRead));
    object.locked = std::make_shared<LockedPages>();
    return LockDescriptor(std::get<UniqueFd>(opened).get(), options.size_bytes,
                          object.page_size_bytes, *object.locked);
  };
  const absl::Status status = lock();
  if (status.ok()) return;
  // It is there all the same, and its status says what is locked.
  Log(LogLevel::kError,
      absl::StrCat(segment.name.ToString(),
                   " is not locked in memory any more: ", status.message()));
}

absl::Status SegmentRegistry::TakeUpRequests(const std::vector<Uid>& gone) {
  ASSIGN_OR_RETURN(const std::vector<Record> records,
                   parts_.store->Load(RecordKind::kRequest));
  const absl::flat_hash_set<Uid> lost(gone.begin(), gone.end());
  std::vector<StoredRequest> requests;
  std::vector<Change> removals;
  for (const Record& record : records) {
    ASSIGN_OR_RETURN(StoredRequest request,
                     ParseRequestRecord(record.key, record.value));
    // A create that was refused after its record was written has removed its
    // object.
    if (lost.contains(request.entry.segment)) {
      removals.push_back(RemovalOf(request.key));
    } else {
      requests.push_back(std::move(request));
    }
  }
  std::sort(requests.begin(), requests.end(),
            [](const StoredRequest& a, const StoredRequest& b) {
              return a.entry.generation < b.entry.generation;
            });
  {
    absl::MutexLock lock(&mutex_);
    for (StoredRequest& request : requests) {
      requests_.Record(request.key.first, request.key.second,
                       std::move(request.entry));
    }
  }
  return parts_.store->Commit(removals, Durability::kDaemonDeath);
}

}  // namespace shmd
