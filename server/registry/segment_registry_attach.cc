// Handles and grants, and their redemption.

#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"

// Since Linux 5.1; not in every libc's headers.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace shmd {
namespace {

Error HandleStale(absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kHandleStale,
               absl::StrCat("the handle is stale: ", why));
}

// The seals that the daemon has put on a memfd in this state; a writer may have
// added others.
int SealsOf(const Segment& segment) {
  if (segment.options.backend != BackendKind::kMemfd) return 0;
  int seals = segment.options.revocable ? 0 : F_SEAL_SHRINK;
  if (!segment.options.resizable) seals |= F_SEAL_GROW;
  if (segment.options.seal_policy == SealPolicy::kNeverSealed) {
    seals |= F_SEAL_SEAL;
  }
  if (segment.state == SegmentState::kClosedToWriters) {
    seals |= F_SEAL_FUTURE_WRITE;
  }
  if (segment.state == SegmentState::kSealed) {
    seals |= F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL;
  }
  return seals;
}

// Whether the daemon has made the segment so that this session takes part in a
// channel, which may be by a grant.
bool IsOwnPart(const Segment& segment, const SessionId& session) {
  switch (segment.role) {
    case SegmentRole::kRing:
    case SegmentRole::kReaderPage:
    case SegmentRole::kClaims:
      return segment.owner_session == session;
    default:
      return false;
  }
}

}  // namespace

Handle SegmentRegistry::UnsignedHandle(const Segment& segment,
                                       Access access) const {
  Handle handle;
  handle.node = identity_.node;
  handle.name_space = segment.name.name_space;
  handle.uid = segment.uid;
  handle.generation = segment.generation;
  handle.access = access;
  return handle;
}

Handle SegmentRegistry::WholeHandle(const Caller& caller,
                                    const Segment& segment) const {
  const bool may_write =
      CheckWritable(segment).ok() &&
      MayAccess(caller, segment.ownership(), Access::kReadWrite);
  Handle handle =
      UnsignedHandle(segment, may_write ? Access::kReadWrite : Access::kRead);
  signer_.Sign(handle);
  return handle;
}

Handle SegmentRegistry::OwnHandle(const SegmentView& view,
                                  Access access) const {
  Handle handle = UnsignedHandle(*view.segment, access);
  signer_.Sign(handle);
  return handle;
}

absl::StatusOr<Handle> SegmentRegistry::MakeHandle(
    const Caller& caller, const HandleCommand& command) {
  ASSIGN_OR_RETURN(const SegmentView view,
                   Accessible(caller, command.name, command.access));
  const Segment& segment = *view.segment;
  if (command.access == Access::kReadWrite) {
    RETURN_IF_ERROR(CheckNotSealed(segment));
  }
  Handle handle = UnsignedHandle(segment, command.access);
  handle.offset_bytes = command.offset_bytes;
  ASSIGN_OR_RETURN(handle.length_bytes,
                   ResolveLength(segment.options.size_bytes,
                                 command.offset_bytes, command.length_bytes));
  if (handle.length_bytes == 0) {
    return Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
                 "the range is empty")
        .With("offset_bytes", command.offset_bytes);
  }
  if (command.ttl.has_value()) {
    handle.expire_unix_ms =
        absl::ToUnixMillis(parts_.clock->WallTime() + *command.ttl);
  }
  signer_.Sign(handle);
  return handle;
}

absl::Status SegmentRegistry::CheckHandle(const Caller& caller,
                                          const Handle& handle,
                                          Access access) const {
  if (handle.node != identity_.node || !signer_.Verify(handle)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kHandleInvalid,
                 "the handle was not made by this daemon, or was altered");
  }
  if (handle.expire_unix_ms != 0 &&
      handle.expire_unix_ms <= absl::ToUnixMillis(parts_.clock->WallTime())) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kHandleExpired,
                 "the handle's end has passed");
  }
  if (access == Access::kReadWrite && handle.access != Access::kReadWrite) {
    return CallerNotAllowed(caller);
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentView> SegmentRegistry::Admit(const Caller& caller,
                                                   const SessionId& session,
                                                   const Handle& handle,
                                                   Access access,
                                                   GrantRegistry::Use* use) {
  absl::MutexLock lock(&mutex_);
  const auto found = by_uid_.find(handle.uid);
  // The signature is ours, so the segment once was.
  if (found == by_uid_.end() || found->second->claimed ||
      found->second->segment->generation != handle.generation) {
    return HandleStale("its segment is gone")
        .With("generation", handle.generation);
  }
  const EntryPtr& entry = found->second;
  if (access == Access::kReadWrite) {
    const Segment& segment = *entry->segment;
    RETURN_IF_ERROR(CheckWritable(segment));
    // One writer, also among the programs of one user.
    if (segment.role != SegmentRole::kOrdinary &&
        segment.role != SegmentRole::kSyncPrimitive &&
        segment.owner_session != session) {
      return SegmentReserved(segment);
    }
  }
  absl::Status admitted;
  if (!IsOwnPart(*entry->segment, session)) {
    admitted = CheckEntry(caller, entry->segment->name.name_space);
  }
  if (admitted.ok() &&
      !MayAccess(caller, entry->segment->ownership(), access)) {
    admitted = CallerNotAllowed(caller);
  }
  // Who is let in anyway does not use the grant up. A grant is an invitation
  // by name: it counts for more than the namespace's rule for everybody.
  if (!admitted.ok()) {
    if (!handle.grant.has_value()) return admitted;
    GrantWish wish;
    wish.access = access;
    ASSIGN_OR_RETURN(*use,
                     grants_.Redeem(*handle.grant, handle.uid, caller, wish));
  }
  ++entry->attachments;
  return ViewOf(entry);
}

absl::StatusOr<SegmentRegistry::Attached> SegmentRegistry::Attach(
    const Caller& caller, const Handle& handle, Access access,
    const SessionId& session) {
  RETURN_IF_ERROR(CheckHandle(caller, handle, access));
  GrantRegistry::Use use;
  Attached attached;
  attached.access = access;
  ASSIGN_OR_RETURN(attached.view, Admit(caller, session, handle, access, &use));
  const Segment& segment = *attached.view.segment;
  attached.offset_bytes = handle.offset_bytes;
  const absl::StatusOr<uint64_t> length = ResolveLength(
      segment.options.size_bytes, handle.offset_bytes, handle.length_bytes);
  absl::StatusOr<ObjectRef> object =
      length.ok() ? BackendOf(segment).Open(attached.view.entry->object, access)
                  : absl::StatusOr<ObjectRef>(length.status());
  absl::Status status = object.status();
  SHMD_FAILPOINT("attach.opened");
  if (status.ok()) status = use.Keep();
  if (!status.ok()) {
    Release(attached.view.entry);
    return status;
  }
  attached.length_bytes = *length;
  attached.object = *std::move(object);
  attached.seals = SealsOf(segment);
  return attached;
}

bool SegmentRegistry::Hold(const EntryPtr& entry) {
  absl::MutexLock lock(&mutex_);
  return HoldLocked(*entry);
}

bool SegmentRegistry::HoldLocked(SegmentEntry& entry) {
  // Who is removed is there as long as somebody has it.
  if ((entry.claimed || entry.removed) && entry.attachments == 0) {
    return false;
  }
  ++entry.attachments;
  return true;
}

absl::StatusOr<SegmentRegistry::Attached> SegmentRegistry::AttachReserved(
    const EntryPtr& entry, Access access) {
  Attached attached;
  attached.access = access;
  {
    absl::MutexLock lock(&mutex_);
    if (!HoldLocked(*entry)) return SegmentNotFound();
    attached.view = ViewOf(entry);
  }
  const Segment& segment = *attached.view.segment;
  absl::StatusOr<ObjectRef> object;
  if (segment.role == SegmentRole::kArena && access == Access::kRead &&
      entry->object.memfd.valid()) {
    object = entry->arena_reader.Get(entry->object.memfd.get());
  } else {
    object = BackendOf(segment).Open(entry->object, access);
  }
  if (!object.ok()) {
    Release(entry);
    return object.status();
  }
  attached.length_bytes = segment.options.size_bytes;
  attached.object = *std::move(object);
  attached.seals = SealsOf(segment);
  return attached;
}

void SegmentRegistry::Release(const EntryPtr& entry) {
  absl::MutexLock lock(&mutex_);
  if (--entry->attachments > 0 || !entry->removed) return;
  // What Unpublish has kept back.
  const Segment& segment = *entry->segment;
  Budget::Use use = UseOf(segment.options, segment.role);
  use.segments = 0;
  GiveBackUse(segment.name.name_space, segment.options.owner, use);
}

absl::StatusOr<SegmentRegistry::NewGrant> SegmentRegistry::CreateGrant(
    const Caller& caller, const GrantCommand& command) {
  EntryPtr entry;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(entry, FindManaged(caller, command.name));
  }
  return CreateGrantOf(entry, command);
}

absl::StatusOr<SegmentRegistry::NewGrant> SegmentRegistry::CreateGrantOf(
    const EntryPtr& entry, const GrantCommand& command) {
  NewGrant made;
  {
    // Under the mutex: what is removed meanwhile takes its grants along.
    absl::MutexLock lock(&mutex_);
    if (entry->claimed || entry->removed) return SegmentNotFound();
    ASSIGN_OR_RETURN(GrantRegistry::Made grant,
                     grants_.Make(entry->segment->uid, command));
    made.handle = UnsignedHandle(*entry->segment, command.access);
    made.handle.grant = grant.secret;
    made.grant = std::move(grant.grant);
  }
  signer_.Sign(made.handle);
  RETURN_IF_ERROR(grants_.Record(made.grant));
  return made;
}

absl::StatusOr<std::vector<Grant>> SegmentRegistry::ListGrants(
    const Caller& caller, const SegmentName& name) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const EntryPtr entry, FindManaged(caller, name));
  return grants_.Of(entry->segment->uid);
}

absl::Status SegmentRegistry::DeleteGrant(const Caller& caller,
                                          const SegmentName& name,
                                          const std::string& id) {
  EntryPtr entry;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(entry, FindManaged(caller, name));
  }
  return grants_.Delete(entry->segment->uid, id);
}

}  // namespace shmd
