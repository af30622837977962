#ifndef SHMD_CLIENT_CPP_SYNC_H_
#define SHMD_CLIENT_CPP_SYNC_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/cpp/attached.h"
#include "client/cpp/client.h"
#include "client/cpp/sync_calls.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/mutex.h"
#include "shm/sync/rw_lock.h"
#include "shm/sync/semaphore.h"
#include "shm/sync/seq_value.h"

namespace shmd {
inline namespace client {

// Locks and the like in memory that several programs write: docs/sync.md has
// an example. Nothing here makes a call once it is open, nor a system call
// where nobody waits. When a program dies the daemon lets go for it.

// Until when to wait; a point of the monotonic clock.
class SyncDeadline {
 public:
  static SyncDeadline After(absl::Duration timeout);
  static SyncDeadline Never() { return SyncDeadline(kNoDeadlineNs); }

  uint64_t ns() const { return ns_; }

 private:
  explicit SyncDeadline(uint64_t ns) : ns_(ns) {}
  uint64_t ns_;
};

// What makes this program known at primitives: its session's number and page.
// One for a client, shared by all that is opened with it. Thread-safe. Not
// for a child after fork(2), which opens one of its own.
class SyncDomain {
 public:
  // The client's, opened at the first call; one call and one attach.
  static absl::StatusOr<std::shared_ptr<SyncDomain>> Open(Client& client) {
    return SyncCalls(&client).Domain();
  }

  // For Open: OBJECT_UNSUITABLE when that is no page of the locker's.
  static absl::StatusOr<std::shared_ptr<SyncDomain>> Over(WritableAttached page,
                                                          uint32_t locker);

  // Whether the daemon would notice this program's death. False for good once
  // a restarted daemon did not have the session any more: open another one.
  bool is_helped() const { return !lost_->load(std::memory_order_acquire); }

  uint32_t number() const { return locker_.number(); }
  Locker* locker() { return &locker_; }

 private:
  SyncDomain(WritableAttached page, uint32_t locker);

  const WritableAttached page_;
  const std::shared_ptr<const std::atomic<bool>> lost_;
  Locker locker_;
};

// Where a primitive is. The mapping is the caller's, who keeps it for as long
// as the primitive is used; or this one's, for those that stand alone.
struct SyncSpot {
  std::shared_ptr<SyncDomain> domain;
  std::shared_ptr<const WritableAttached> owned;
  char* at = nullptr;
  uint64_t left_bytes = 0;  // from there on
  SyncPlace place;

  // FAILED_PRECONDITION (SYNC_PRIMITIVE_INVALID): of a mapping of the whole
  // segment, at a multiple of 64, with room for the kind.
  static absl::StatusOr<SyncSpot> In(std::shared_ptr<SyncDomain> domain,
                                     const WritableAttached& memory,
                                     uint64_t offset_bytes,
                                     layout::SyncKind kind);
  // Of a primitive that stands alone, which is of the kind.
  static absl::StatusOr<SyncSpot> Named(Client& client, absl::string_view name,
                                        layout::SyncKind kind);

  // Says what stands there: SYNC_PRIMITIVE_EXISTS (ALREADY_EXISTS) when
  // something does. The other words are written before.
  absl::Status Publish(layout::SyncKind kind) const;
  // SYNC_PRIMITIVE_INVALID when something else does, or nothing yet.
  absl::Status Check(layout::SyncKind kind) const;

  template <typename Layout>
  Layout* As() const {
    // SAFETY: aligned and large enough, as In and Named have found.
    return reinterpret_cast<Layout*>(at);
  }
};

// DEADLINE_EXCEEDED (DEADLINE_PASSED), ABORTED (LOCK_BROKEN, BARRIER_BROKEN),
// RESOURCE_EXHAUSTED (SYNC_LIMIT_EXCEEDED), OUT_OF_RANGE (COUNT_TOO_LARGE).
absl::Status SyncStatus(SyncResult result);

// How a lock is had: lets go at its end. Move-only, of one thread at a time.
// The lock outlives it.
template <typename Lock, SyncResult (Lock::*unlock)(SyncHold*)>
class SyncHeld {
 public:
  SyncHeld(Lock* lock, const SyncHold& hold, bool torn)
      : lock_(lock), hold_(hold), torn_(torn) {}
  SyncHeld(SyncHeld&& other) noexcept { *this = std::move(other); }
  SyncHeld& operator=(SyncHeld&& other) noexcept {
    Unlock().IgnoreError();
    lock_ = std::exchange(other.lock_, nullptr);
    hold_ = other.hold_;
    torn_ = other.torn_;
    return *this;
  }
  ~SyncHeld() { Unlock().IgnoreError(); }

  // An owner before died, or was made to let go: look what it guards over, and
  // then MarkConsistent. Until one does, all that come are told.
  bool data_may_be_torn() const { return torn_; }
  absl::Status MarkConsistent() {
    if (lock_ == nullptr) return SyncStatus(SyncResult::kNotOwner);
    return SyncStatus(lock_->MarkConsistent());
  }

  // LOCK_BROKEN when an administrator has taken it away.
  absl::Status Unlock() {
    if (lock_ == nullptr) return absl::OkStatus();
    return SyncStatus((std::exchange(lock_, nullptr)->*unlock)(&hold_));
  }

 private:
  friend class Condition;
  Lock* lock_ = nullptr;
  SyncHold hold_;
  bool torn_ = false;
};

// What all primitives have: how `Primitive`, which derives from this, is opened
// and made.
template <typename Primitive, typename Host, typename Layout,
          layout::SyncKind kind>
class SyncPrimitiveBase {
 public:
  // At an offset of memory that the caller has mapped: what another program
  // has made there. SYNC_PRIMITIVE_INVALID.
  static absl::StatusOr<Primitive> Open(std::shared_ptr<SyncDomain> domain,
                                        const WritableAttached& memory,
                                        uint64_t offset_bytes) {
    absl::StatusOr<SyncSpot> spot =
        SyncSpot::In(std::move(domain), memory, offset_bytes, kind);
    if (!spot.ok()) return spot.status();
    const absl::Status found = spot->Check(kind);
    if (!found.ok()) return found;
    return Primitive(*std::move(spot));
  }
  // One that stands alone.
  static absl::StatusOr<Primitive> Open(Client& client,
                                        absl::string_view name) {
    absl::StatusOr<SyncSpot> spot = SyncSpot::Named(client, name, kind);
    if (!spot.ok()) return spot.status();
    return Primitive(*std::move(spot));
  }

 protected:
  // Makes one there, where zeros are; `fill` writes what is not 0 at first.
  // One program makes it: SYNC_PRIMITIVE_EXISTS.
  template <typename Fill>
  static absl::StatusOr<Primitive> MakeAt(std::shared_ptr<SyncDomain> domain,
                                          const WritableAttached& memory,
                                          uint64_t offset_bytes,
                                          const Fill& fill) {
    absl::StatusOr<SyncSpot> spot =
        SyncSpot::In(std::move(domain), memory, offset_bytes, kind);
    if (!spot.ok()) return spot.status();
    if (!spot->Check(kind).ok()) fill(spot->As<Layout>());
    const absl::Status made = spot->Publish(kind);
    if (!made.ok()) return made;
    return Primitive(*std::move(spot));
  }

  explicit SyncPrimitiveBase(SyncSpot spot)
      : spot_(std::move(spot)),
        host_(std::make_unique<Host>(spot_.As<Layout>(), spot_.place,
                                     spot_.domain->locker())) {}

  SyncSpot spot_;
  // Holds keep its address.
  std::unique_ptr<Host> host_;
};

using HostMutex = BasicMutex<layout::HostMemory, HostFutex>;
using HostRwLock = BasicRwLock<layout::HostMemory, HostFutex>;
using HostSemaphore = BasicSemaphore<layout::HostMemory, HostFutex>;
using HostEvent = BasicEvent<layout::HostMemory, HostFutex>;
using HostBarrier = BasicBarrier<layout::HostMemory, HostFutex>;
using HostCondition = BasicCondition<layout::HostMemory, HostFutex>;
using HostSeqValue = BasicSeqValue<layout::HostMemory, HostFutex>;

using MutexHeld = SyncHeld<HostMutex, &HostMutex::Unlock>;

// Thread-safe; not to be locked twice by one thread. Move-only, while nobody
// has it.
class Mutex : public SyncPrimitiveBase<Mutex, HostMutex, layout::MutexLayout,
                                       layout::SyncKind::kMutex> {
 public:
  static absl::StatusOr<Mutex> Make(std::shared_ptr<SyncDomain> domain,
                                    const WritableAttached& memory,
                                    uint64_t offset_bytes);

  absl::StatusOr<MutexHeld> Lock(SyncDeadline deadline);
  // Nothing when somebody has it.
  absl::StatusOr<std::optional<MutexHeld>> TryLock();

 private:
  using SyncPrimitiveBase::SyncPrimitiveBase;
};

using SharedHeld = SyncHeld<HostRwLock, &HostRwLock::UnlockShared>;
using ExclusiveHeld = SyncHeld<HostRwLock, &HostRwLock::UnlockExclusive>;

// One writer, or up to 64 readers. As Mutex; only a writer marks consistent.
class RwLock
    : public SyncPrimitiveBase<RwLock, HostRwLock, layout::RwLockLayout,
                               layout::SyncKind::kRwLock> {
 public:
  static absl::StatusOr<RwLock> Make(std::shared_ptr<SyncDomain> domain,
                                     const WritableAttached& memory,
                                     uint64_t offset_bytes);

  absl::StatusOr<SharedHeld> LockShared(SyncDeadline deadline);
  absl::StatusOr<ExclusiveHeld> LockExclusive(SyncDeadline deadline);

 private:
  using SyncPrimitiveBase::SyncPrimitiveBase;
};

// Counts; nobody owns what it counts. Thread-safe.
class Semaphore : public SyncPrimitiveBase<Semaphore, HostSemaphore,
                                           layout::SemaphoreLayout,
                                           layout::SyncKind::kSemaphore> {
 public:
  static absl::StatusOr<Semaphore> Make(std::shared_ptr<SyncDomain> domain,
                                        const WritableAttached& memory,
                                        uint64_t offset_bytes, uint32_t count);

  absl::Status Acquire(SyncDeadline deadline);
  bool TryAcquire();
  absl::Status Release(uint32_t count = 1);
  uint32_t Count() const { return host_->Count(); }

 private:
  using SyncPrimitiveBase::SyncPrimitiveBase;
};

// Set or not; with automatic reset each Set lets one through. Thread-safe.
class Event : public SyncPrimitiveBase<Event, HostEvent, layout::EventLayout,
                                       layout::SyncKind::kEvent> {
 public:
  static absl::StatusOr<Event> Make(std::shared_ptr<SyncDomain> domain,
                                    const WritableAttached& memory,
                                    uint64_t offset_bytes,
                                    layout::EventReset reset);

  absl::Status Wait(SyncDeadline deadline);
  void Set() { host_->Set(); }
  void Reset() { host_->Reset(); }
  bool IsSet() const { return host_->IsSet(); }

 private:
  using SyncPrimitiveBase::SyncPrimitiveBase;
};

// Where so many wait for each other. Thread-safe.
class Barrier
    : public SyncPrimitiveBase<Barrier, HostBarrier, layout::BarrierLayout,
                               layout::SyncKind::kBarrier> {
 public:
  static absl::StatusOr<Barrier> Make(std::shared_ptr<SyncDomain> domain,
                                      const WritableAttached& memory,
                                      uint64_t offset_bytes, uint32_t parties);

  // Whether this was the last to arrive. BARRIER_BROKEN (ABORTED) when one of
  // the others died, until somebody resets it.
  absl::StatusOr<bool> Wait(SyncDeadline deadline);
  void Reset() { host_->Reset(); }

 private:
  using SyncPrimitiveBase::SyncPrimitiveBase;
};

// To be waited for with a mutex; may wake for no reason. Thread-safe.
class Condition : public SyncPrimitiveBase<Condition, HostCondition,
                                           layout::ConditionLayout,
                                           layout::SyncKind::kCondition> {
 public:
  static absl::StatusOr<Condition> Make(std::shared_ptr<SyncDomain> domain,
                                        const WritableAttached& memory,
                                        uint64_t offset_bytes);

  // None stands alone.
  using SyncPrimitiveBase::Open;
  static absl::StatusOr<Condition> Open(Client& client,
                                        absl::string_view name) = delete;

  // Lets the mutex go until `deadline`, and has it again by `relock_deadline`:
  // false when the deadline came. After an error the mutex is not held.
  absl::StatusOr<bool> Wait(MutexHeld* held, SyncDeadline deadline,
                            SyncDeadline relock_deadline);
  void Signal() { host_->Signal(); }
  void Broadcast() { host_->Broadcast(); }

 private:
  using SyncPrimitiveBase::SyncPrimitiveBase;
};

// The untyped part of SeqValue.
class SeqWords {
 public:
  static absl::StatusOr<SeqWords> Make(std::shared_ptr<SyncDomain> domain,
                                       const WritableAttached& memory,
                                       uint64_t offset_bytes,
                                       uint32_t value_bytes);
  static absl::StatusOr<SeqWords> Open(std::shared_ptr<SyncDomain> domain,
                                       const WritableAttached& memory,
                                       uint64_t offset_bytes,
                                       uint32_t value_bytes);
  static absl::StatusOr<SeqWords> Open(Client& client, absl::string_view name,
                                       uint32_t value_bytes);

  absl::Status Write(const uint64_t* words, SyncDeadline deadline);
  absl::Status Read(uint64_t* words, SyncDeadline deadline) const;

 private:
  static absl::StatusOr<SeqWords> Over(SyncSpot spot, uint32_t value_bytes);
  SeqWords(SyncSpot spot, uint32_t value_bytes);

  SyncSpot spot_;
  std::unique_ptr<HostSeqValue> host_;
};

// A value that is replaced as one; readers wait for nobody. Thread-safe.
template <typename T>
class SeqValue {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(sizeof(T) <= layout::kMaxSeqValueBytes);

 public:
  static constexpr uint32_t kBytes = (sizeof(T) + 7) / 8 * 8;

  static absl::StatusOr<SeqValue> Make(std::shared_ptr<SyncDomain> domain,
                                       const WritableAttached& memory,
                                       uint64_t offset_bytes) {
    return Of(SeqWords::Make(std::move(domain), memory, offset_bytes, kBytes));
  }
  static absl::StatusOr<SeqValue> Open(std::shared_ptr<SyncDomain> domain,
                                       const WritableAttached& memory,
                                       uint64_t offset_bytes) {
    return Of(SeqWords::Open(std::move(domain), memory, offset_bytes, kBytes));
  }
  static absl::StatusOr<SeqValue> Open(Client& client, absl::string_view name) {
    return Of(SeqWords::Open(client, name, kBytes));
  }

  absl::Status Write(const T& value, SyncDeadline deadline) {
    std::vector<uint64_t> words(kBytes / 8);
    std::memcpy(words.data(), &value, sizeof(T));
    return words_.Write(words.data(), deadline);
  }
  absl::StatusOr<T> Read(SyncDeadline deadline) const {
    std::vector<uint64_t> words(kBytes / 8);
    const absl::Status read = words_.Read(words.data(), deadline);
    if (!read.ok()) return read;
    T value;
    std::memcpy(&value, words.data(), sizeof(T));
    return value;
  }

 private:
  explicit SeqValue(SeqWords words) : words_(std::move(words)) {}
  static absl::StatusOr<SeqValue> Of(absl::StatusOr<SeqWords> words) {
    if (!words.ok()) return words.status();
    return SeqValue(*std::move(words));
  }

  SeqWords words_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_SYNC_H_
