#ifndef SHMD_SHM_SYNC_EVENT_H_
#define SHMD_SHM_SYNC_EVENT_H_

#include <cstdint>

#include "shm/sync/owned_word.h"

namespace shmd {

// An event. Reset by hand: once it is set all get through, also those who
// waited when it was set and run only after a Reset. Automatic: each Set lets
// one through. Nobody owns it. Thread-safe. Borrows what it is given.
template <typename Memory, typename Futex>
class BasicEvent {
 public:
  using LockerType = BasicLocker<Memory, Futex>;

  BasicEvent(layout::EventLayout* at, const SyncPlace& place,
             LockerType* locker)
      : at_(at), place_(place), locker_(locker) {}

  SyncResult Wait(uint64_t deadline_ns) {
    const uint32_t first = Load();
    if (TryPass(first, first)) return SyncResult::kDone;
    const uint32_t slot = locker_->Announce(place_, layout::SyncKind::kEvent,
                                            layout::SyncState::kWaiting);
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    const SyncResult passed = Await(first, slot, deadline_ns);
    locker_->Clear(slot);
    return passed;
  }

  // Idempotent while it is set.
  void Set() {
    const uint32_t slot = locker_->Announce(place_, layout::SyncKind::kEvent,
                                            layout::SyncState::kWaking);
    if (MakeSet() &&
        Memory::Load(&at_->waiters, std::memory_order_seq_cst) != 0) {
      if (IsAutomatic()) {
        Futex::WakeOne(&at_->word);
      } else {
        Futex::WakeAll(&at_->word);
      }
    }
    locker_->Clear(slot);
  }

  void Reset() {
    for (;;) {
      const uint32_t found = Load();
      if ((found & layout::kEventSet) == 0 || Clear(found)) return;
    }
  }

  bool IsSet() const { return (Load() & layout::kEventSet) != 0; }

 private:
  uint32_t Load() const {
    return Memory::Load(&at_->word, std::memory_order_seq_cst);
  }

  bool IsAutomatic() const {
    return Memory::Load(&at_->reset, std::memory_order_relaxed) != 0;
  }

  bool Clear(uint32_t found) {
    return Memory::CompareExchange(&at_->word, found,
                                   found & ~layout::kEventSet,
                                   std::memory_order_seq_cst);
  }

  bool TryPass(uint32_t first, uint32_t found) {
    if (IsAutomatic()) {
      return (found & layout::kEventSet) != 0 && Clear(found);
    }
    return (found & layout::kEventSet) != 0 || found >> 1 != first >> 1;
  }

  SyncResult Await(uint32_t first, uint32_t slot, uint64_t deadline_ns) {
    BasicSleeper<Memory, Futex> sleeper(locker_, slot, &at_->waiters);
    for (;;) {
      const uint32_t found = Load();
      if (TryPass(first, found)) return SyncResult::kDone;
      if ((found & layout::kEventSet) != 0) {
        // Another took it.
        if (Futex::IsPast(deadline_ns)) return SyncResult::kTimedOut;
      } else if (!sleeper.Sleep(&at_->word, found, deadline_ns)) {
        return SyncResult::kTimedOut;
      }
    }
  }

  // False when it was set already.
  bool MakeSet() {
    for (;;) {
      const uint32_t found = Load();
      if ((found & layout::kEventSet) != 0) return false;
      if (Memory::CompareExchange(&at_->word, found,
                                  (found + 2) | layout::kEventSet,
                                  std::memory_order_seq_cst)) {
        return true;
      }
    }
  }

  layout::EventLayout* const at_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_EVENT_H_
