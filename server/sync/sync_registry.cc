#include "server/sync/sync_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "shm/sys/futex.h"

namespace shmd {
namespace {

SegmentOptions OwnedOptions(const Caller& owner, mode_t mode,
                            uint64_t size_bytes) {
  SegmentOptions options;
  options.backend = BackendKind::kMemfd;
  options.size_bytes = size_bytes;
  options.page_size_bytes = BasePageSizeBytes();
  options.mode = mode;
  options.owner = owner.uid;
  options.group = owner.gid;
  options.seal_policy = SealPolicy::kNeverSealed;
  return options;
}

// The largest primitive, less the copies of a value, which nobody mends.
constexpr uint64_t kWindowBytes = sizeof(layout::RwLockLayout);

// Between attempts to get at what the dead hold.
constexpr absl::Duration kRetryInterval = absl::Milliseconds(100);

// What stands at an offset of a segment, mapped; an error where nothing can.
absl::StatusOr<WritableMapping> MapPrimitive(const Segment& segment,
                                             const ObjectRef& object,
                                             uint64_t offset_bytes) {
  const uint64_t size_bytes = segment.options.size_bytes;
  if (offset_bytes % layout::kSyncAlignment != 0 ||
      offset_bytes >= size_bytes) {
    return Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
                 "no primitive is there");
  }
  MapOptions options;
  options.size_bytes = size_bytes;
  options.page_size_bytes = segment.options.page_size_bytes;
  options.offset_bytes = offset_bytes;
  options.length_bytes = std::min(kWindowBytes, size_bytes - offset_bytes);
  return WritableMapping::Map(object, options);
}

// Makes the primitive that a new segment is.
absl::Status FillIn(const SegmentRegistry& segments, const SegmentView& view) {
  ASSIGN_OR_RETURN(const ObjectRef object,
                   segments.OpenObject(view, Access::kReadWrite));
  ASSIGN_OR_RETURN(const WritableMapping mapping,
                   MapPrimitive(*view.segment, object, 0));
  FillPrimitive(SyncSpecOf(view.segment->labels), mapping.data());
  return absl::OkStatus();
}

// A time of CLOCK_MONOTONIC that a program wrote, which may be any.
absl::Time SinceOf(uint64_t since_ns, absl::Time now) {
  const uint64_t now_ns = sys::MonotonicNs();
  if (since_ns > now_ns) return now;
  return now - absl::Nanoseconds(static_cast<int64_t>(now_ns - since_ns));
}

Error NoPrimitive(uint64_t offset_bytes) {
  return Error(absl::StatusCode::kFailedPrecondition,
               reason::kSyncPrimitiveInvalid,
               "no lock and no barrier stands at the offset")
      .With("offset_bytes", offset_bytes);
}

}  // namespace

absl::Status SyncRegistry::TakeUp() {
  RETURN_IF_ERROR(lockers_.TakeUp());
  for (const SegmentView& view : segments_->ListReserved()) {
    const Segment& segment = *view.segment;
    const std::optional<uint32_t> locker = LockerOfPage(segment.name.id);
    if (segment.role != SegmentRole::kSyncPage || !locker.has_value()) {
      continue;
    }
    const absl::StatusOr<SyncPagePtr> page =
        SyncPageFile::Open(*segments_, *locker, view, /*is_new=*/false);
    if (!page.ok()) {
      Log(LogLevel::kError, absl::StrCat("a session's locks are lost: ",
                                         page.status().message()));
      continue;
    }
    if (segments_->SessionExists(segment.owner_session)) {
      pages_.Put(segment.owner_session, *page);
      continue;
    }
    DeadSession dead;
    dead.locker = *locker;
    dead.user.uid = segment.options.owner;
    dead.user.gid = segment.options.group;
    Mend(**page, dead);
  }
  return absl::OkStatus();
}

absl::StatusOr<SyncPagePtr> SyncRegistry::MakePage(
    const Caller& caller, const std::string& name_space,
    const SessionId& session) {
  ASSIGN_OR_RETURN(const uint32_t locker, lockers_.Next());
  CreateCommand command;
  command.name_space = name_space;
  command.id = SyncPageId(locker, session);
  command.options = OwnedOptions(caller, 0600, sizeof(layout::SyncPage));
  command.lifetime = Lifetime::kSession;
  command.owner_session = session;
  command.role = SegmentRole::kSyncPage;
  ASSIGN_OR_RETURN(const SegmentView view,
                   segments_->CreateOne(caller, std::move(command)));
  absl::StatusOr<SyncPagePtr> page =
      SyncPageFile::Open(*segments_, locker, view, /*is_new=*/true);
  if (!page.ok()) segments_->RemoveReserved(view.entry).IgnoreError();
  return page;
}

absl::StatusOr<SyncRegistry::OpenedPage> SyncRegistry::OpenPage(
    const Caller& caller, const std::string& name_space,
    const SessionId& session) {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name_space));
  // Of others nobody learns whether they exist.
  RETURN_IF_ERROR(segments_->CheckSession(caller, session));
  absl::MutexLock making(&making_);
  SyncPagePtr page = pages_.Find(session);
  if (page == nullptr) {
    ASSIGN_OR_RETURN(page, MakePage(caller, name_space, session));
    pages_.Put(session, page);
    // The session may have ended before its page was there to be left.
    if (!segments_->SessionExists(session)) pages_.Take(session);
  }
  return OpenedPage{page->locker(), page->view()};
}

void SyncRegistry::EndSession(const SessionTable::Ended& ended) {
  const SyncPagePtr page = pages_.Take(ended.identity.id);
  if (page == nullptr) return;
  DeadSession dead;
  dead.locker = page->locker();
  dead.user.uid = ended.identity.uid;
  dead.user.gid = ended.identity.gid;
  for (const Holding& holding : ended.holdings) {
    if (holding.access != Access::kReadWrite) continue;
    dead.written.push_back({holding.entry, holding.segment, 0});
  }
  Mend(*page, dead);
}

void SyncRegistry::Mend(const SyncPageFile& page, const DeadSession& dead) {
  Caller user = dead.user;
  user.is_administrator = user.uid == 0;  // always one
  absl::flat_hash_map<uint64_t, std::vector<layout::SyncSlot>> slots;
  for (const SyncPageFile::Use& use : page.Read()) {
    slots[use.slot.generation].push_back(use.slot);
  }
  if (slots.empty()) return;
  for (const SegmentView& view : dead.written) {
    const auto found = slots.find(view.segment->generation);
    if (found == slots.end()) continue;
    MendIn({view, dead.locker, found->second});
    slots.erase(found);
  }
  // What it had detached, or had attached in an earlier run.
  absl::flat_hash_set<uint64_t> rest;
  for (const auto& [generation, unused] : slots) rest.insert(generation);
  if (rest.empty()) return;
  for (const SegmentView& view : segments_->ListOfGenerations(rest)) {
    if (!MayAccess(user, view.segment->ownership(), Access::kReadWrite)) {
      continue;
    }
    MendIn({view, dead.locker, slots[view.segment->generation]});
  }
}

void SyncRegistry::MendUnfinished() {
  std::vector<Unfinished> unfinished;
  {
    absl::MutexLock lock(&mending_);
    unfinished.swap(unfinished_);
  }
  for (Unfinished& left : unfinished) MendIn(std::move(left));
}

void SyncRegistry::MendIn(Unfinished left) {
  const SegmentRole role = left.segment.segment->role;
  // The others have one writer, and no primitives in them.
  if (role != SegmentRole::kOrdinary && role != SegmentRole::kSyncPrimitive) {
    return;
  }
  const absl::StatusOr<ObjectRef> object =
      segments_->OpenObject(left.segment, Access::kReadWrite);
  // One that is gone has no waiters.
  if (!object.ok() && !absl::IsResourceExhausted(object.status())) return;
  absl::MutexLock lock(&mending_);
  std::vector<layout::SyncSlot> rest;
  for (const layout::SyncSlot& slot : left.slots) {
    const absl::Status status =
        object.ok() ? TryToMend(left.segment, *object, left.locker, slot)
                    : object.status();
    if (absl::IsResourceExhausted(status)) rest.push_back(slot);
  }
  if (rest.empty()) return;
  left.slots = std::move(rest);
  unfinished_.push_back(std::move(left));
  segments_->expiries().Set(retry_,
                            segments_->clock().SinceBoot() + kRetryInterval);
}

absl::Status SyncRegistry::TryToMend(const SegmentView& segment,
                                     const ObjectRef& object, uint32_t locker,
                                     layout::SyncSlot slot) {
  ASSIGN_OR_RETURN(const WritableMapping mapping,
                   MapPrimitive(*segment.segment, object, slot.offset_bytes));
  slot.offset_bytes = 0;
  SyncMender(mapping.data(), mapping.size_bytes()).Mend(slot, locker);
  return absl::OkStatus();
}

std::string SyncRegistry::LockUse::Key() const {
  return absl::StrCat(absl::Hex(slot.offset_bytes, absl::kZeroPad16), "/",
                      UidToHex(session), "/",
                      absl::Hex(slot_number, absl::kZeroPad4));
}

absl::StatusOr<SegmentView> SyncRegistry::Locked(const Caller& caller,
                                                 const SegmentName& segment) {
  absl::StatusOr<SegmentView> view = segments_->Get(caller, segment);
  if (view.ok()) return view;
  return OfSyncPrimitive(view.status(), segment);
}

absl::StatusOr<std::vector<SyncRegistry::LockUse>> SyncRegistry::ListLocks(
    const Caller& caller, const SegmentName& segment, const std::string& after,
    size_t limit) {
  ASSIGN_OR_RETURN(const SegmentView view, Locked(caller, segment));
  const absl::Time now = absl::Now();
  Caller daemon;
  daemon.is_administrator = true;
  std::vector<LockUse> uses;
  for (const auto& [session, page] : pages_.List()) {
    pid_t pid = 0;
    for (const SyncPageFile::Use& use : page->Read()) {
      if (use.slot.generation != view.segment->generation) continue;
      if (pid == 0) {
        const absl::StatusOr<SessionSnapshot> found =
            sessions_->Get(daemon, session);
        if (!found.ok()) break;
        pid = found->identity.process.pid;
      }
      LockUse& added = uses.emplace_back();
      added.session = session;
      added.pid = pid;
      added.slot_number = use.number;
      added.slot = use.slot;
      added.since = SinceOf(use.slot.since_ns, now);
    }
  }
  std::sort(uses.begin(), uses.end(), [](const LockUse& a, const LockUse& b) {
    return a.Key() < b.Key();
  });
  const auto first =
      std::find_if(uses.begin(), uses.end(),
                   [&](const LockUse& use) { return use.Key() > after; });
  uses.erase(uses.begin(), first);
  if (uses.size() > limit) uses.resize(limit);
  return uses;
}

absl::Status SyncRegistry::BreakLock(const Caller& caller,
                                     const SegmentName& segment,
                                     uint64_t offset_bytes) {
  ASSIGN_OR_RETURN(const SegmentView view, Locked(caller, segment));
  if (!MayManage(caller, view.segment->ownership())) {
    return CallerNotAllowed(caller);
  }
  const SegmentRole role = view.segment->role;
  if (role != SegmentRole::kOrdinary && role != SegmentRole::kSyncPrimitive) {
    return NoPrimitive(offset_bytes);
  }
  ASSIGN_OR_RETURN(const ObjectRef object,
                   segments_->OpenObject(view, Access::kReadWrite));
  const absl::StatusOr<WritableMapping> mapping =
      MapPrimitive(*view.segment, object, offset_bytes);
  if (absl::IsResourceExhausted(mapping.status())) return mapping.status();
  if (!mapping.ok()) return NoPrimitive(offset_bytes);
  absl::MutexLock lock(&mending_);
  switch (SyncMender(mapping->data(), mapping->size_bytes()).Break(0)) {
    case MendResult::kOwnerDied:
      return absl::OkStatus();
    case MendResult::kNotHeld:
      return Error(absl::StatusCode::kFailedPrecondition, reason::kLockNotHeld,
                   "nobody has the lock")
          .With("offset_bytes", offset_bytes);
    case MendResult::kNothing:
    case MendResult::kWoken:
    case MendResult::kUnsupported:
      break;
  }
  return NoPrimitive(offset_bytes);
}

absl::StatusOr<SegmentView> SyncRegistry::CreatePrimitive(
    const Caller& caller, const PrimitiveCommand& command) {
  RETURN_IF_ERROR(
      segments_->namespaces().CheckEntry(caller, command.name_space));
  const SegmentName name = {command.name_space, SyncSegmentId(command.id)};
  CreateCommand create;
  create.name_space = name.name_space;
  create.id = name.id;
  create.options =
      OwnedOptions(caller, command.mode, SyncSegmentBytes(command.spec));
  create.labels = LabelsOf(command.spec);
  create.role = SegmentRole::kSyncPrimitive;
  // Whoever finds it finds it whole, and so does the next run.
  create.fill = [this](const SegmentView& view) {
    SHMD_FAILPOINT("sync.made");
    absl::Status filled = FillIn(*segments_, view);
    SHMD_FAILPOINT("sync.filled");
    return filled;
  };
  absl::StatusOr<SegmentView> made =
      segments_->CreateOne(caller, std::move(create));
  if (!made.ok()) return OfSyncPrimitive(made.status(), name);
  return made;
}

absl::StatusOr<SegmentView> SyncRegistry::GetPrimitive(
    const Caller& caller, const SegmentName& segment) {
  return Locked(caller, segment);
}

absl::StatusOr<std::vector<SegmentView>> SyncRegistry::ListPrimitives(
    const Caller& caller, const std::string& name_space,
    const std::string& after, size_t limit) {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name_space));
  std::vector<SegmentView> found;
  for (SegmentView& view : segments_->ListReserved()) {
    const Segment& segment = *view.segment;
    if (segment.role == SegmentRole::kSyncPrimitive &&
        segment.name.name_space == name_space &&
        SyncIdOf(segment.name.id) > after &&
        MayAccess(caller, segment.ownership(), Access::kRead)) {
      found.push_back(std::move(view));
    }
  }
  std::sort(found.begin(), found.end(),
            [](const SegmentView& a, const SegmentView& b) {
              return a.segment->name.id < b.segment->name.id;
            });
  if (found.size() > limit) found.resize(limit);
  return found;
}

absl::Status SyncRegistry::DeletePrimitive(const Caller& caller,
                                           const SegmentName& segment) {
  ASSIGN_OR_RETURN(const SegmentView view, Locked(caller, segment));
  if (!MayManage(caller, view.segment->ownership())) {
    return CallerNotAllowed(caller);
  }
  return segments_->RemoveReserved(view.entry);
}

}  // namespace shmd
