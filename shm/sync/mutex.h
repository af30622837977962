#ifndef SHMD_SHM_SYNC_MUTEX_H_
#define SHMD_SHM_SYNC_MUTEX_H_

#include <cstdint>

#include "shm/sync/owned_word.h"

namespace shmd {

// A mutex in shared memory. When its owner dies the daemon lets go for it, and
// the next owner is told (kDoneTorn), as is every one after that until one has
// called MarkConsistent. Thread-safe, but not to be taken twice by one thread.
// Borrows what it is given.
template <typename Memory, typename Futex>
class BasicMutex {
 public:
  using LockerType = BasicLocker<Memory, Futex>;

  BasicMutex(layout::MutexLayout* at, const SyncPlace& place,
             LockerType* locker)
      : word_(&at->word, &at->waiters), place_(place), locker_(locker) {}

  SyncResult Lock(SyncHold* hold, uint64_t deadline_ns) {
    return Locked(Announce(), hold, [&](uint32_t slot) {
      return word_.Take(locker_, slot, deadline_ns);
    });
  }

  // kBusy when it is locked.
  SyncResult TryLock(SyncHold* hold) {
    return Locked(Announce(), hold,
                  [&](uint32_t) { return word_.TryTake(locker_->number()); });
  }

  // kNotOwner when an administrator has broken the lock.
  SyncResult Unlock(SyncHold* hold) {
    if (hold->slot == kNoSlot) return SyncResult::kNotOwner;
    const SyncResult released =
        word_.Release(locker_->number(), /*whole=*/false);
    if (IsDone(released)) word_.WakeOne();
    locker_->Clear(hold->slot);
    hold->slot = kNoSlot;
    return released;
  }

  // What the mutex guards is whole again. For its owner.
  SyncResult MarkConsistent() {
    return word_.MarkConsistent(locker_->number());
  }

  LockerType* locker() const { return locker_; }

 private:
  uint32_t Announce() {
    return locker_->Announce(place_, layout::SyncKind::kMutex,
                             layout::SyncState::kWaiting);
  }

  template <typename Take>
  SyncResult Locked(uint32_t slot, SyncHold* hold, const Take& take) {
    hold->slot = kNoSlot;
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    const SyncResult taken = take(slot);
    if (!IsDone(taken)) {
      locker_->Clear(slot);
      return taken;
    }
    locker_->SetState(slot, layout::SyncState::kHolding);
    hold->slot = slot;
    return taken;
  }

  BasicOwnedWord<Memory, Futex> word_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_MUTEX_H_
