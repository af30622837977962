#ifndef SHMD_SHM_SYNC_BARRIER_H_
#define SHMD_SHM_SYNC_BARRIER_H_

#include <cstdint>

#include "shm/sync/owned_word.h"

namespace shmd {

// Where so many programs wait for each other, round after round. One that dies
// while it waits breaks the barrier: the others, and who comes after, get
// kBroken until somebody resets it. One whose deadline comes takes its arrival
// back. Thread-safe. Borrows what it is given.
template <typename Memory, typename Futex>
class BasicBarrier {
 public:
  using LockerType = BasicLocker<Memory, Futex>;

  BasicBarrier(layout::BarrierLayout* at, const SyncPlace& place,
               LockerType* locker)
      : at_(at), place_(place), locker_(locker) {}

  // `last`, if given, is set for the one whose arrival let the others through.
  SyncResult Wait(uint64_t deadline_ns, bool* last = nullptr) {
    if (last != nullptr) *last = false;
    const uint32_t slot = locker_->Announce(place_, layout::SyncKind::kBarrier,
                                            layout::SyncState::kWaiting,
                                            layout::BarrierRound(Load()));
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    const SyncResult passed = Arrive(slot, deadline_ns, last);
    locker_->Clear(slot);
    return passed;
  }

  // Begins another round; who waits in this one is let go with kBroken.
  void Reset() {
    const uint32_t slot = locker_->Announce(place_, layout::SyncKind::kBarrier,
                                            layout::SyncState::kWaking);
    // Before the round ends: who waits in it looks here when it has.
    Memory::Add(&at_->resets, uint32_t{1}, std::memory_order_seq_cst);
    for (;;) {
      const uint32_t found = Load();
      if (Replace(found, layout::BarrierNextRound(found))) break;
    }
    WakeAll();
    locker_->Clear(slot);
  }

 private:
  uint32_t Load() const {
    return Memory::Load(&at_->word, std::memory_order_seq_cst);
  }

  bool Replace(uint32_t found, uint32_t value) {
    return Memory::CompareExchange(&at_->word, found, value,
                                   std::memory_order_seq_cst);
  }

  void WakeAll() {
    if (Memory::Load(&at_->waiters, std::memory_order_seq_cst) != 0) {
      Futex::WakeAll(&at_->word);
    }
  }

  uint32_t Resets() const {
    return Memory::Load(&at_->resets, std::memory_order_seq_cst);
  }

  SyncResult Arrive(uint32_t slot, uint64_t deadline_ns, bool* last) {
    for (;;) {
      const uint32_t resets = Resets();
      const uint32_t found = Load();
      if ((found & layout::kBarrierBroken) != 0) return SyncResult::kBroken;
      locker_->SetDetail(slot, layout::BarrierRound(found));
      const uint32_t arrived = layout::BarrierArrived(found) + 1;
      if (arrived >= Memory::Load(&at_->parties, std::memory_order_relaxed)) {
        if (!Replace(found, layout::BarrierNextRound(found))) continue;
        WakeAll();
        if (last != nullptr) *last = true;
        return SyncResult::kDone;
      }
      if (arrived <= layout::kMaxBarrierParties && Replace(found, found + 1)) {
        return AwaitOthers(layout::BarrierRound(found), resets, slot,
                           deadline_ns);
      }
      if (Futex::IsPast(deadline_ns)) return SyncResult::kTimedOut;
    }
  }

  SyncResult AwaitOthers(uint32_t round, uint32_t resets, uint32_t slot,
                         uint64_t deadline_ns) {
    BasicSleeper<Memory, Futex> sleeper(locker_, slot, &at_->waiters);
    bool timed_out = false;
    for (;;) {
      const uint32_t found = Load();
      if (layout::BarrierRound(found) != round) {
        return Resets() == resets ? SyncResult::kDone : SyncResult::kBroken;
      }
      if ((found & layout::kBarrierBroken) != 0) return SyncResult::kBroken;
      if (!timed_out) {
        timed_out = !sleeper.Sleep(&at_->word, found, deadline_ns);
        continue;
      }
      if (layout::BarrierArrived(found) == 0 || Replace(found, found - 1)) {
        return SyncResult::kTimedOut;
      }
    }
  }

  layout::BarrierLayout* const at_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_BARRIER_H_
