// Handles and grants, and their redemption.

#include <fcntl.h>
#include <sodium.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"
#include "server/store/grant_record.h"

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

std::string RandomGrantId() {
  uint8_t bytes[8];
  randombytes_buf(bytes, sizeof(bytes));
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
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

absl::StatusOr<SegmentView> SegmentRegistry::Admit(
    const Caller& caller, const SessionId& session, const Handle& handle,
    Access access, std::optional<Grant>* grant) {
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
  absl::Status admitted = CheckEntry(caller, entry->segment->name.name_space);
  if (admitted.ok() &&
      !MayAccess(caller, entry->segment->ownership(), access)) {
    admitted = CallerNotAllowed(caller);
  }
  // Who is let in anyway does not use the grant up. A grant is an invitation
  // by name: it counts for more than the namespace's rule for everybody.
  if (!admitted.ok()) {
    if (!handle.grant.has_value()) return admitted;
    ASSIGN_OR_RETURN(*grant, grants_.Redeem(*handle.grant, handle.uid, caller,
                                            access, parts_.clock->WallTime()));
  }
  ++entry->attachments;
  return ViewOf(entry);
}

absl::StatusOr<SegmentRegistry::Attached> SegmentRegistry::Attach(
    const Caller& caller, const Handle& handle, Access access,
    const SessionId& session) {
  RETURN_IF_ERROR(CheckHandle(caller, handle, access));
  std::optional<Grant> grant;
  Attached attached;
  attached.access = access;
  ASSIGN_OR_RETURN(attached.view,
                   Admit(caller, session, handle, access, &grant));
  const Segment& segment = *attached.view.segment;
  attached.offset_bytes = handle.offset_bytes;
  const absl::StatusOr<uint64_t> length = ResolveLength(
      segment.options.size_bytes, handle.offset_bytes, handle.length_bytes);
  absl::StatusOr<ObjectRef> object =
      length.ok() ? BackendOf(segment).Open(attached.view.entry->object, access)
                  : absl::StatusOr<ObjectRef>(length.status());
  absl::Status status = object.status();
  SHMD_FAILPOINT("attach.opened");
  // Counted for good before anybody has what it was counted for.
  if (status.ok() && grant.has_value() && grant->max_uses != 0) {
    SHMD_FAILPOINT("grant.redeem");
    status = RecordGrant(PutOf(*grant));
    SHMD_FAILPOINT("grant.redeemed");
  }
  if (!status.ok()) {
    Release(attached.view.entry);
    if (grant.has_value()) {
      absl::MutexLock lock(&mutex_);
      grants_.Unredeem(*grant);
    }
    return status;
  }
  attached.length_bytes = *length;
  attached.object = *std::move(object);
  attached.seals = SealsOf(segment);
  return attached;
}

absl::StatusOr<SegmentRegistry::Attached> SegmentRegistry::AttachReserved(
    const EntryPtr& entry, Access access) {
  Attached attached;
  attached.access = access;
  {
    absl::MutexLock lock(&mutex_);
    if (entry->claimed || entry->removed) return SegmentNotFound();
    ++entry->attachments;
    attached.view = ViewOf(entry);
  }
  const Segment& segment = *attached.view.segment;
  absl::StatusOr<ObjectRef> object =
      BackendOf(segment).Open(entry->object, access);
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
  NewGrant made;
  Grant& grant = made.grant;
  GrantSecret secret;
  randombytes_buf(secret.data(), secret.size());
  grant.key = KeyOf(secret);
  grant.id = RandomGrantId();
  grant.access = command.access;
  grant.max_uses = command.max_uses;
  grant.uid = command.uid;
  grant.create_time = parts_.clock->WallTime();
  grant.expire_time = command.expiration.time;
  if (command.expiration.ttl.has_value()) {
    grant.expire_time = grant.create_time + *command.expiration.ttl;
  }
  if (grant.expire_time.value_or(absl::InfiniteFuture()) <= grant.create_time) {
    return InvalidField("grant.expire_time", reason::kFieldInvalid,
                        "has passed");
  }
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(const EntryPtr entry, FindManaged(caller, command.name));
    grant.segment = entry->segment->uid;
    made.handle = UnsignedHandle(*entry->segment, command.access);
    made.handle.grant = secret;
    signer_.Sign(made.handle);
    RETURN_IF_ERROR(grants_.Add(grant));
  }
  SHMD_FAILPOINT("grant.create");
  const absl::Status recorded = RecordGrant(PutOf(grant));
  SHMD_FAILPOINT("grant.created");
  if (recorded.ok()) return made;
  absl::MutexLock lock(&mutex_);
  grants_.Remove(grant.segment, grant.id);
  return recorded;
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
  Grant grant;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(const EntryPtr entry, FindManaged(caller, name));
    const Grant* const found = grants_.Find(entry->segment->uid, id);
    if (found == nullptr) {
      return Error(absl::StatusCode::kNotFound, reason::kGrantNotFound,
                   "there is no such grant")
          .With("grant", Excerpt(id, 64));
    }
    grant = *found;
  }
  // Recorded first: a grant that was said to be revoked must not come back.
  SHMD_FAILPOINT("grant.remove");
  RETURN_IF_ERROR(RecordGrant(RemovalOf(grant)));
  SHMD_FAILPOINT("grant.removed");
  absl::MutexLock lock(&mutex_);
  grants_.Remove(grant.segment, grant.id);
  return absl::OkStatus();
}

absl::Status SegmentRegistry::RecordGrant(const Change& change) {
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("grant.record"));
  return parts_.store->Commit(absl::MakeConstSpan(&change, 1),
                              Durability::kDaemonDeath);
}

}  // namespace shmd
