#include "client/cpp/sync.h"

#include <algorithm>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
inline namespace client {
namespace {

using layout::HostMemory;
using layout::SyncKind;

Error Invalid(absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition,
               reason::kSyncPrimitiveInvalid, message);
}

void Store(uint32_t* word, uint32_t value) {
  HostMemory::Store(word, value, std::memory_order_relaxed);
}

bool IsTorn(SyncResult result) { return result == SyncResult::kDoneTorn; }

uint64_t BytesOf(SyncKind kind, uint32_t value_bytes) {
  return layout::SyncBytes(kind) + 2 * layout::SeqCopyBytes(value_bytes);
}

}  // namespace

SyncDeadline SyncDeadline::After(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return Never();
  const int64_t ns = std::max<int64_t>(absl::ToInt64Nanoseconds(timeout), 0);
  return SyncDeadline(sys::MonotonicNs() + static_cast<uint64_t>(ns));
}

absl::StatusOr<std::shared_ptr<SyncDomain>> SyncDomain::Over(
    WritableAttached page, uint32_t locker) {
  const Error unsuitable(absl::StatusCode::kFailedPrecondition,
                         reason::kObjectUnsuitable,
                         "that is no page of the session's");
  if (page.size_bytes() != sizeof(layout::SyncPage) || !page.cannot_shrink() ||
      locker == 0 || locker > layout::kLockerMask) {
    return unsuitable.ToStatus();
  }
  const auto& header = static_cast<layout::SyncPage*>(page.data())->header;
  if (HostMemory::Load(&header.version, std::memory_order_acquire) !=
          layout::kSyncPageVersion ||
      HostMemory::Load(&header.magic, std::memory_order_relaxed) !=
          layout::kSyncPageMagic) {
    return unsuitable.ToStatus();
  }
  return std::shared_ptr<SyncDomain>(new SyncDomain(std::move(page), locker));
}

SyncDomain::SyncDomain(WritableAttached page, uint32_t locker)
    : page_(std::move(page)),
      lost_(page_.lost_flag()),
      locker_(static_cast<layout::SyncPage*>(page_.data()), locker) {}

absl::StatusOr<SyncSpot> SyncSpot::In(std::shared_ptr<SyncDomain> domain,
                                      const WritableAttached& memory,
                                      uint64_t offset_bytes, SyncKind kind) {
  // Others, and the daemon, name it by its offset in the segment.
  if (memory.size_bytes() != memory.facts().segment_size_bytes) {
    return Invalid("the mapping is not of the whole segment").ToStatus();
  }
  if (offset_bytes % layout::kSyncAlignment != 0 ||
      offset_bytes > memory.size_bytes() ||
      memory.size_bytes() - offset_bytes < layout::SyncBytes(kind)) {
    return Invalid("the offset is no multiple of 64 with room behind it")
        .With("offset_bytes", offset_bytes)
        .ToStatus();
  }
  SyncSpot spot;
  spot.domain = std::move(domain);
  spot.at = static_cast<char*>(memory.data()) + offset_bytes;
  spot.left_bytes = memory.size_bytes() - offset_bytes;
  spot.place = {memory.generation(), offset_bytes};
  return spot;
}

absl::StatusOr<SyncSpot> SyncSpot::Named(Client& client, absl::string_view name,
                                         SyncKind kind) {
  SyncCalls calls(&client);
  ASSIGN_OR_RETURN(std::shared_ptr<SyncDomain> domain, calls.Domain());
  ASSIGN_OR_RETURN(const SyncPrimitive found, calls.Get(name));
  ASSIGN_OR_RETURN(WritableAttached memory, client.MapWritable(found.handle));
  auto owned = std::make_shared<const WritableAttached>(std::move(memory));
  ASSIGN_OR_RETURN(SyncSpot spot, In(std::move(domain), *owned, 0, kind));
  RETURN_IF_ERROR(spot.Check(kind));
  spot.owned = std::move(owned);
  return spot;
}

absl::Status SyncSpot::Publish(SyncKind kind) const {
  if (PublishHead<HostMemory>(As<uint32_t>(), kind)) return absl::OkStatus();
  return Error(absl::StatusCode::kAlreadyExists, reason::kSyncPrimitiveExists,
               "something stands there already")
      .With("offset_bytes", place.offset_bytes);
}

absl::Status SyncSpot::Check(SyncKind kind) const {
  if (KindAt<HostMemory>(As<uint32_t>()) == kind) return absl::OkStatus();
  return Invalid("another primitive stands there, or none yet")
      .With("offset_bytes", place.offset_bytes)
      .With("wanted", absl::string_view(SyncKindName(kind)));
}

absl::Status SyncStatus(SyncResult result) {
  switch (result) {
    case SyncResult::kDone:
    case SyncResult::kDoneTorn:
      return absl::OkStatus();
    case SyncResult::kTimedOut:
    case SyncResult::kBusy:
      return Error(absl::StatusCode::kDeadlineExceeded, reason::kDeadlinePassed,
                   "the deadline came first");
    case SyncResult::kNotOwner:
      return Error(absl::StatusCode::kAborted, reason::kLockBroken,
                   "the lock was taken away");
    case SyncResult::kBroken:
      return Error(absl::StatusCode::kAborted, reason::kBarrierBroken,
                   "one who waited at the barrier died, or it was reset");
    case SyncResult::kNoSlots:
      return Exhausted(reason::kSyncLimitExceeded,
                       "primitives that a session is at", 1, 0, "primitives");
    case SyncResult::kOverflow:
      return Error(absl::StatusCode::kOutOfRange, reason::kCountTooLarge,
                   "a semaphore counts to 2147483647");
  }
  return Error(absl::StatusCode::kInternal, reason::kInvariantBroken,
               "a result that there is not");
}

absl::StatusOr<Mutex> Mutex::Make(std::shared_ptr<SyncDomain> domain,
                                  const WritableAttached& memory,
                                  uint64_t offset_bytes) {
  return MakeAt(std::move(domain), memory, offset_bytes,
                [](layout::MutexLayout*) {});
}

absl::StatusOr<MutexHeld> Mutex::Lock(SyncDeadline deadline) {
  SyncHold hold;
  const SyncResult taken = host_->Lock(&hold, deadline.ns());
  if (!IsDone(taken)) return SyncStatus(taken);
  return MutexHeld(host_.get(), hold, IsTorn(taken));
}

absl::StatusOr<std::optional<MutexHeld>> Mutex::TryLock() {
  SyncHold hold;
  const SyncResult taken = host_->TryLock(&hold);
  if (taken == SyncResult::kBusy) return std::optional<MutexHeld>();
  if (!IsDone(taken)) return SyncStatus(taken);
  return std::optional<MutexHeld>(MutexHeld(host_.get(), hold, IsTorn(taken)));
}

absl::StatusOr<RwLock> RwLock::Make(std::shared_ptr<SyncDomain> domain,
                                    const WritableAttached& memory,
                                    uint64_t offset_bytes) {
  return MakeAt(std::move(domain), memory, offset_bytes,
                [](layout::RwLockLayout*) {});
}

absl::StatusOr<SharedHeld> RwLock::LockShared(SyncDeadline deadline) {
  SyncHold hold;
  const SyncResult taken = host_->LockShared(&hold, deadline.ns());
  if (!IsDone(taken)) return SyncStatus(taken);
  return SharedHeld(host_.get(), hold, IsTorn(taken));
}

absl::StatusOr<ExclusiveHeld> RwLock::LockExclusive(SyncDeadline deadline) {
  SyncHold hold;
  const SyncResult taken = host_->LockExclusive(&hold, deadline.ns());
  if (!IsDone(taken)) return SyncStatus(taken);
  return ExclusiveHeld(host_.get(), hold, IsTorn(taken));
}

absl::StatusOr<Semaphore> Semaphore::Make(std::shared_ptr<SyncDomain> domain,
                                          const WritableAttached& memory,
                                          uint64_t offset_bytes,
                                          uint32_t count) {
  if (count > layout::kMaxSemaphoreCount) {
    return SyncStatus(SyncResult::kOverflow);
  }
  return MakeAt(std::move(domain), memory, offset_bytes,
                [&](layout::SemaphoreLayout* at) { Store(&at->word, count); });
}

absl::Status Semaphore::Acquire(SyncDeadline deadline) {
  return SyncStatus(host_->Acquire(deadline.ns()));
}

bool Semaphore::TryAcquire() {
  return host_->TryAcquire() == SyncResult::kDone;
}

absl::Status Semaphore::Release(uint32_t count) {
  return SyncStatus(host_->Release(count));
}

absl::StatusOr<Event> Event::Make(std::shared_ptr<SyncDomain> domain,
                                  const WritableAttached& memory,
                                  uint64_t offset_bytes,
                                  layout::EventReset reset) {
  return MakeAt(std::move(domain), memory, offset_bytes,
                [&](layout::EventLayout* at) {
                  Store(&at->reset, static_cast<uint32_t>(reset));
                });
}

absl::Status Event::Wait(SyncDeadline deadline) {
  return SyncStatus(host_->Wait(deadline.ns()));
}

absl::StatusOr<Barrier> Barrier::Make(std::shared_ptr<SyncDomain> domain,
                                      const WritableAttached& memory,
                                      uint64_t offset_bytes, uint32_t parties) {
  if (parties == 0 || parties > layout::kMaxBarrierParties) {
    return InvalidField("parties", reason::kFieldInvalid, "is not 1 to 65535")
        .ToStatus();
  }
  return MakeAt(
      std::move(domain), memory, offset_bytes,
      [&](layout::BarrierLayout* at) { Store(&at->parties, parties); });
}

absl::StatusOr<bool> Barrier::Wait(SyncDeadline deadline) {
  bool last = false;
  const SyncResult passed = host_->Wait(deadline.ns(), &last);
  if (!IsDone(passed)) return SyncStatus(passed);
  return last;
}

absl::StatusOr<Condition> Condition::Make(std::shared_ptr<SyncDomain> domain,
                                          const WritableAttached& memory,
                                          uint64_t offset_bytes) {
  return MakeAt(std::move(domain), memory, offset_bytes,
                [](layout::ConditionLayout*) {});
}

absl::StatusOr<bool> Condition::Wait(MutexHeld* held, SyncDeadline deadline,
                                     SyncDeadline relock_deadline) {
  if (held->lock_ == nullptr) return SyncStatus(SyncResult::kNotOwner);
  const HostCondition::Waited waited = host_->Wait(
      held->lock_, &held->hold_, deadline.ns(), relock_deadline.ns());
  if (!IsDone(waited.lock)) {
    held->lock_ = nullptr;
    return SyncStatus(waited.lock);
  }
  held->torn_ = IsTorn(waited.lock);
  return waited.signalled;
}

absl::StatusOr<SeqWords> SeqWords::Over(SyncSpot spot, uint32_t value_bytes) {
  const uint32_t found =
      HostMemory::Load(&spot.As<layout::SeqValueLayout>()->value_bytes,
                       std::memory_order_relaxed);
  if (found != value_bytes ||
      spot.left_bytes < BytesOf(SyncKind::kSeqValue, value_bytes)) {
    return Invalid("the value there is of another size")
        .With("value_bytes", found)
        .ToStatus();
  }
  return SeqWords(std::move(spot), value_bytes);
}

SeqWords::SeqWords(SyncSpot spot, uint32_t value_bytes)
    : spot_(std::move(spot)),
      host_(std::make_unique<HostSeqValue>(
          spot_.As<layout::SeqValueLayout>(),
          // SAFETY: the copies follow, and Over has found room for them.
          reinterpret_cast<uint64_t*>(spot_.at +
                                      sizeof(layout::SeqValueLayout)),
          value_bytes / 8, spot_.place, spot_.domain->locker())) {}

absl::StatusOr<SeqWords> SeqWords::Make(std::shared_ptr<SyncDomain> domain,
                                        const WritableAttached& memory,
                                        uint64_t offset_bytes,
                                        uint32_t value_bytes) {
  ASSIGN_OR_RETURN(SyncSpot spot,
                   SyncSpot::In(std::move(domain), memory, offset_bytes,
                                SyncKind::kSeqValue));
  if (spot.left_bytes < BytesOf(SyncKind::kSeqValue, value_bytes)) {
    return Invalid("there is no room for the value").ToStatus();
  }
  Store(&spot.As<layout::SeqValueLayout>()->value_bytes, value_bytes);
  RETURN_IF_ERROR(spot.Publish(SyncKind::kSeqValue));
  return Over(std::move(spot), value_bytes);
}

absl::StatusOr<SeqWords> SeqWords::Open(std::shared_ptr<SyncDomain> domain,
                                        const WritableAttached& memory,
                                        uint64_t offset_bytes,
                                        uint32_t value_bytes) {
  ASSIGN_OR_RETURN(SyncSpot spot,
                   SyncSpot::In(std::move(domain), memory, offset_bytes,
                                SyncKind::kSeqValue));
  RETURN_IF_ERROR(spot.Check(SyncKind::kSeqValue));
  return Over(std::move(spot), value_bytes);
}

absl::StatusOr<SeqWords> SeqWords::Open(Client& client, absl::string_view name,
                                        uint32_t value_bytes) {
  ASSIGN_OR_RETURN(SyncSpot spot,
                   SyncSpot::Named(client, name, SyncKind::kSeqValue));
  return Over(std::move(spot), value_bytes);
}

absl::Status SeqWords::Write(const uint64_t* words, SyncDeadline deadline) {
  return SyncStatus(host_->Write(words, deadline.ns()));
}

absl::Status SeqWords::Read(uint64_t* words, SyncDeadline deadline) const {
  return SyncStatus(host_->Read(words, deadline.ns()));
}

}  // namespace client
}  // namespace shmd
