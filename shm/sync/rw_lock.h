#ifndef SHMD_SHM_SYNC_RW_LOCK_H_
#define SHMD_SHM_SYNC_RW_LOCK_H_

#include <cstdint>

#include "shm/sync/owned_word.h"

namespace shmd {

// One writer or up to 64 readers; more wait. A writer that waits for
// readers keeps new ones out. Each reader stands in the lock by its locker, so
// that the daemon can let go for a dead one; a writer's death is told as that
// of a mutex's owner. Thread-safe; no thread takes it twice. Borrows what it
// is given.
template <typename Memory, typename Futex,
          typename Layout = layout::RwLockLayout>
class BasicRwLock {
 public:
  using LockerType = BasicLocker<Memory, Futex>;
  static constexpr uint32_t kReaders = sizeof(Layout::readers) / 4;

  BasicRwLock(Layout* at, const SyncPlace& place, LockerType* locker)
      : at_(at),
        word_(&at->word, &at->waiters),
        place_(place),
        locker_(locker) {}

  SyncResult LockExclusive(SyncHold* hold, uint64_t deadline_ns) {
    const uint32_t slot = Announce(/*shared=*/false);
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    SyncResult taken = word_.Take(locker_, slot, deadline_ns);
    if (IsDone(taken) && !AwaitNoReaders(deadline_ns)) {
      word_.Release(locker_->number(), /*whole=*/false);
      word_.WakeAll();
      taken = SyncResult::kTimedOut;
    }
    return Finish(taken, slot, hold);
  }

  // kNotOwner when an administrator has broken the lock.
  SyncResult UnlockExclusive(SyncHold* hold) {
    if (hold->slot == kNoSlot) return SyncResult::kNotOwner;
    const SyncResult released =
        word_.Release(locker_->number(), /*whole=*/false);
    if (IsDone(released)) word_.WakeAll();
    locker_->Clear(hold->slot);
    hold->slot = kNoSlot;
    return released;
  }

  SyncResult LockShared(SyncHold* hold, uint64_t deadline_ns) {
    const uint32_t slot = Announce(/*shared=*/true);
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    return Finish(TakeShared(slot, hold, deadline_ns), slot, hold);
  }

  SyncResult UnlockShared(SyncHold* hold) {
    if (hold->slot == kNoSlot) return SyncResult::kNotOwner;
    const bool was_there = Leave(hold->reader);
    locker_->Clear(hold->slot);
    hold->slot = kNoSlot;
    return was_there ? SyncResult::kDone : SyncResult::kNotOwner;
  }

  // What the lock guards is whole again. For its writer.
  SyncResult MarkConsistent() {
    return word_.MarkConsistent(locker_->number());
  }

 private:
  uint32_t Announce(bool shared) {
    return locker_->Announce(place_, layout::SyncKind::kRwLock,
                             layout::SyncState::kWaiting, shared ? 1 : 0);
  }

  SyncResult Finish(SyncResult taken, uint32_t slot, SyncHold* hold) {
    if (!IsDone(taken)) {
      hold->slot = kNoSlot;
      locker_->Clear(slot);
      return taken;
    }
    locker_->SetState(slot, layout::SyncState::kHolding);
    hold->slot = slot;
    return taken;
  }

  SyncResult TakeShared(uint32_t slot, SyncHold* hold, uint64_t deadline_ns) {
    BasicSleeper<Memory, Futex> sleeper(locker_, slot, &at_->waiters);
    for (;;) {
      uint32_t writer = word_.Load();
      if (word_.OwnerOf(writer) != 0) {
        if (!sleeper.Sleep(&at_->word, writer, deadline_ns)) break;
        continue;
      }
      if (!Enter(&hold->reader)) {
        if (!AwaitLeft(deadline_ns, [&] { return HasRoom(); })) break;
        continue;
      }
      // A writer stores its word and then looks at the readers; this reader
      // has stored, and looks at the word.
      writer = word_.Load();
      if (word_.OwnerOf(writer) == 0) {
        return (writer & layout::kTorn) != 0 ? SyncResult::kDoneTorn
                                             : SyncResult::kDone;
      }
      Leave(hold->reader);
      if (Futex::IsPast(deadline_ns)) break;
    }
    return SyncResult::kTimedOut;
  }

  // By its number, so that sessions do not meet at the first place.
  bool Enter(uint32_t* reader) {
    for (uint32_t i = 0; i < kReaders; ++i) {
      const uint32_t place = (locker_->number() + i) % kReaders;
      if (Memory::Load(&at_->readers[place], std::memory_order_relaxed) != 0) {
        continue;
      }
      if (Memory::CompareExchange(&at_->readers[place], uint32_t{0},
                                  locker_->number(),
                                  std::memory_order_seq_cst)) {
        *reader = place;
        return true;
      }
    }
    return false;
  }

  // Whether it was there.
  bool Leave(uint32_t reader) {
    const bool was_there =
        Memory::CompareExchange(&at_->readers[reader], locker_->number(),
                                uint32_t{0}, std::memory_order_seq_cst);
    if (Memory::Load(&at_->left_wanted, std::memory_order_seq_cst) != 0 &&
        Memory::Exchange(&at_->left_wanted, uint32_t{0},
                         std::memory_order_seq_cst) != 0) {
      Memory::Add(&at_->left, uint32_t{1}, std::memory_order_seq_cst);
      Futex::WakeAll(&at_->left);
    }
    return was_there;
  }

  template <typename Predicate>
  bool AnyReader(const Predicate& is) const {
    for (const uint32_t& reader : at_->readers) {
      if (is(Memory::Load(&reader, std::memory_order_seq_cst))) return true;
    }
    return false;
  }

  bool HasRoom() const {
    return AnyReader([](uint32_t reader) { return reader == 0; });
  }

  bool AwaitNoReaders(uint64_t deadline_ns) {
    return AwaitLeft(deadline_ns, [this] {
      return !AnyReader([](uint32_t reader) { return reader != 0; });
    });
  }

  // Who leaves clears its place and then looks whether anybody wants to know;
  // who waits says so, and then looks at the places.
  template <typename Condition>
  bool AwaitLeft(uint64_t deadline_ns, const Condition& holds) {
    for (uint32_t spins = Futex::MaxSpins(); !holds(); --spins) {
      if (spins > 0) {
        Futex::Pause();
        continue;
      }
      return SleepUntilLeft(deadline_ns, holds);
    }
    return true;
  }

  template <typename Condition>
  bool SleepUntilLeft(uint64_t deadline_ns, const Condition& holds) {
    for (;;) {
      const uint32_t left = Memory::Load(&at_->left, std::memory_order_seq_cst);
      Memory::Exchange(&at_->left_wanted, uint32_t{1},
                       std::memory_order_seq_cst);
      if (holds()) return true;
      if (!Futex::Wait(&at_->left, left, deadline_ns)) return holds();
    }
  }

  Layout* const at_;
  BasicOwnedWord<Memory, Futex> word_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_RW_LOCK_H_
