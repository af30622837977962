#ifndef SHMD_SHM_SYNC_SEMAPHORE_H_
#define SHMD_SHM_SYNC_SEMAPHORE_H_

#include <cstdint>

#include "shm/sync/owned_word.h"

namespace shmd {

// A counting semaphore. Nobody owns what it counts, as with POSIX: what a dead
// program had acquired stays so, but nobody sleeps on because of it.
// Thread-safe. Borrows what it is given.
template <typename Memory, typename Futex>
class BasicSemaphore {
 public:
  using LockerType = BasicLocker<Memory, Futex>;

  BasicSemaphore(layout::SemaphoreLayout* at, const SyncPlace& place,
                 LockerType* locker)
      : at_(at), place_(place), locker_(locker) {}

  // Takes one; a fast path without a slot, for what is taken needs no mending.
  SyncResult Acquire(uint64_t deadline_ns) {
    if (TryAcquire() == SyncResult::kDone) return SyncResult::kDone;
    const uint32_t slot = locker_->Announce(
        place_, layout::SyncKind::kSemaphore, layout::SyncState::kWaiting);
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    const SyncResult taken = AwaitOne(slot, deadline_ns);
    locker_->Clear(slot);
    return taken;
  }

  // kBusy when there is none.
  SyncResult TryAcquire() {
    for (;;) {
      const uint32_t count = Count();
      if (count == 0 || count > layout::kMaxSemaphoreCount) {
        return SyncResult::kBusy;
      }
      if (TakeOne(count)) return SyncResult::kDone;
    }
  }

  // Gives `more`; kOverflow, and nothing, beyond kMaxSemaphoreCount.
  SyncResult Release(uint32_t more) {
    const uint32_t slot = locker_->Announce(
        place_, layout::SyncKind::kSemaphore, layout::SyncState::kWaking);
    const SyncResult added = Add(more);
    if (added == SyncResult::kDone && more > 0 &&
        Memory::Load(&at_->waiters, std::memory_order_seq_cst) != 0) {
      Futex::WakeSome(&at_->word, more);
    }
    locker_->Clear(slot);
    return added;
  }

  uint32_t Count() const {
    return Memory::Load(&at_->word, std::memory_order_seq_cst);
  }

 private:
  bool TakeOne(uint32_t count) {
    return Memory::CompareExchange(&at_->word, count, count - 1,
                                   std::memory_order_seq_cst);
  }

  SyncResult AwaitOne(uint32_t slot, uint64_t deadline_ns) {
    BasicSleeper<Memory, Futex> sleeper(locker_, slot, &at_->waiters);
    for (;;) {
      const uint32_t count = Count();
      if (count != 0 && count <= layout::kMaxSemaphoreCount) {
        if (TakeOne(count)) return SyncResult::kDone;
        if (Futex::IsPast(deadline_ns)) {
          PassWakeOn();
          return SyncResult::kTimedOut;
        }
      } else if (!sleeper.Sleep(&at_->word, count, deadline_ns)) {
        return SyncResult::kTimedOut;
      }
    }
  }

  // For who leaves although there may be one: it may have been woken for that,
  // and another one sleeps on beside it.
  void PassWakeOn() {
    if (Count() != 0 &&
        Memory::Load(&at_->waiters, std::memory_order_seq_cst) != 0) {
      Futex::WakeOne(&at_->word);
    }
  }

  SyncResult Add(uint32_t more) {
    for (;;) {
      const uint32_t count = Count();
      if (count > layout::kMaxSemaphoreCount ||
          more > layout::kMaxSemaphoreCount - count) {
        return SyncResult::kOverflow;
      }
      if (Memory::CompareExchange(&at_->word, count, count + more,
                                  std::memory_order_seq_cst)) {
        return SyncResult::kDone;
      }
    }
  }

  layout::SemaphoreLayout* const at_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_SEMAPHORE_H_
