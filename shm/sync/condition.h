#ifndef SHMD_SHM_SYNC_CONDITION_H_
#define SHMD_SHM_SYNC_CONDITION_H_

#include <cstdint>

#include "shm/sync/mutex.h"

namespace shmd {

// A condition to be waited for with a mutex. As everywhere, a wait may end for
// no reason: look at what was waited for. When one who waits or signals dies,
// all others are woken, so that no signal goes down with it. Thread-safe.
// Borrows what it is given.
template <typename Memory, typename Futex>
class BasicCondition {
 public:
  using LockerType = BasicLocker<Memory, Futex>;
  using MutexType = BasicMutex<Memory, Futex>;

  BasicCondition(layout::ConditionLayout* at, const SyncPlace& place,
                 LockerType* locker)
      : at_(at), place_(place), locker_(locker) {}

  struct Waited {
    bool signalled = false;  // otherwise the deadline came
    // Of the mutex, whose hold is empty unless IsDone.
    SyncResult lock = SyncResult::kNotOwner;
  };

  // Lets the mutex go while it waits until `deadline_ns`, and has taken it
  // again by `relock_deadline_ns`.
  Waited Wait(MutexType* mutex, SyncHold* hold, uint64_t deadline_ns,
              uint64_t relock_deadline_ns) {
    Waited waited;
    const uint32_t slot = locker_->Announce(
        place_, layout::SyncKind::kCondition, layout::SyncState::kWaiting);
    if (slot == kNoSlot) {
      waited.lock = SyncResult::kNoSlots;
      mutex->Unlock(hold);
      return waited;
    }
    waited.lock = LetGoAndSleep(mutex, hold, slot, deadline_ns, &waited);
    if (IsDone(waited.lock)) {
      waited.lock = mutex->Lock(hold, relock_deadline_ns);
    }
    // Not before: who dies at the mutex has seen its signal, and done nothing.
    locker_->Clear(slot);
    return waited;
  }

  void Signal() { Wake(/*all=*/false); }
  void Broadcast() { Wake(/*all=*/true); }

 private:
  uint32_t Load() const {
    return Memory::Load(&at_->word, std::memory_order_seq_cst);
  }

  SyncResult LetGoAndSleep(MutexType* mutex, SyncHold* hold, uint32_t slot,
                           uint64_t deadline_ns, Waited* waited) {
    BasicSleeper<Memory, Futex> sleeper(locker_, slot, &at_->waiters);
    // Both before the mutex is free: from then on signals are for this one.
    const uint32_t before = Load();
    sleeper.Count();
    const SyncResult released = mutex->Unlock(hold);
    if (!IsDone(released)) return released;
    while (Load() == before) {
      if (!sleeper.Sleep(&at_->word, before, deadline_ns)) {
        waited->signalled = Load() != before;
        return released;
      }
    }
    waited->signalled = true;
    return released;
  }

  void Wake(bool all) {
    const uint32_t slot = locker_->Announce(
        place_, layout::SyncKind::kCondition, layout::SyncState::kWaking);
    Memory::Add(&at_->word, uint32_t{1}, std::memory_order_seq_cst);
    if (Memory::Load(&at_->waiters, std::memory_order_seq_cst) != 0) {
      if (all) {
        Futex::WakeAll(&at_->word);
      } else {
        Futex::WakeOne(&at_->word);
      }
    }
    locker_->Clear(slot);
  }

  layout::ConditionLayout* const at_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_CONDITION_H_
