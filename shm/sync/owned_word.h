#ifndef SHMD_SHM_SYNC_OWNED_WORD_H_
#define SHMD_SHM_SYNC_OWNED_WORD_H_

#include <atomic>
#include <cstdint>

#include "shm/layout/sync_layout.h"
#include "shm/sync/locker.h"

namespace shmd {

enum class SyncResult {
  kDone,
  // The same, but an owner before died, or was made to let go: what the
  // primitive guards may be torn.
  kDoneTorn,
  kTimedOut,
  kBusy,      // of what does not wait
  kNotOwner,  // somebody has taken it away
  kBroken,    // of a barrier
  kNoSlots,   // this session is at too many primitives at once
  kOverflow,  // of a semaphore
};

constexpr bool IsDone(SyncResult result) {
  return result == SyncResult::kDone || result == SyncResult::kDoneTorn;
}

// What a lock was taken with, and is let go with.
struct SyncHold {
  uint32_t slot = kNoSlot;
  uint32_t reader = 0;
};

// Sleeps on a word, counted in the primitive's `waiters` from the first sleep
// to the end of its life. Who wakes changes the word and then looks at
// `waiters`, who sleeps counts and then looks at the word, all of it in
// sequentially consistent order: one of them sees the other.
template <typename Memory, typename Futex>
class BasicSleeper {
 public:
  BasicSleeper(BasicLocker<Memory, Futex>* locker, uint32_t slot,
               uint32_t* waiters)
      : locker_(locker), slot_(slot), waiters_(waiters) {}
  BasicSleeper(const BasicSleeper&) = delete;
  BasicSleeper& operator=(const BasicSleeper&) = delete;
  ~BasicSleeper() noexcept(false) { End(); }

  // Returns for no reason the first time: the caller looks again, counted now.
  // False when the deadline has come.
  bool Sleep(const uint32_t* word, uint32_t expected, uint64_t deadline_ns) {
    if (spins_ < Futex::MaxSpins()) {
      ++spins_;
      Futex::Pause();
      return true;
    }
    if (counted_) return Futex::Wait(word, expected, deadline_ns);
    Count();
    return true;
  }

  void Count() {
    if (counted_) return;
    // Whoever dies between the two leaves a count too many, which costs
    // system calls; one too few would cost a sleeper its waking.
    Memory::Add(waiters_, uint32_t{1}, std::memory_order_seq_cst);
    counted_ = true;
    locker_->SetCounted(slot_, true);
  }

  void End() {
    if (!counted_) return;
    counted_ = false;
    locker_->SetCounted(slot_, false);
    Memory::Add(waiters_, ~uint32_t{0}, std::memory_order_seq_cst);
  }

 private:
  BasicLocker<Memory, Futex>* const locker_;
  const uint32_t slot_;
  uint32_t* const waiters_;
  uint32_t spins_ = 0;
  bool counted_ = false;
};

// A word that one locker at a time owns: all of a mutex, and the writer's part
// of others. Not to be taken twice by one thread: that waits for itself.
template <typename Memory, typename Futex>
class BasicOwnedWord {
 public:
  BasicOwnedWord(uint32_t* word, uint32_t* waiters)
      : word_(word), waiters_(waiters) {}

  static uint32_t OwnerOf(uint32_t word) { return word & layout::kLockerMask; }

  uint32_t Load() const {
    return Memory::Load(word_, std::memory_order_seq_cst);
  }

  // kBusy when it is owned.
  SyncResult TryTake(uint32_t locker) {
    for (;;) {
      const uint32_t found = Load();
      if (OwnerOf(found) != 0) return SyncResult::kBusy;
      if (Memory::CompareExchange(word_, found, found | locker,
                                  std::memory_order_seq_cst)) {
        return Taken(found);
      }
    }
  }

  SyncResult Take(BasicLocker<Memory, Futex>* locker, uint32_t slot,
                  uint64_t deadline_ns) {
    BasicSleeper<Memory, Futex> sleeper(locker, slot, waiters_);
    for (;;) {
      const uint32_t found = Load();
      if (OwnerOf(found) == 0) {
        if (Memory::CompareExchange(word_, found, found | locker->number(),
                                    std::memory_order_seq_cst)) {
          return Taken(found);
        }
        // Somebody else was faster, or a peer scribbles.
        if (Futex::IsPast(deadline_ns)) return SyncResult::kTimedOut;
        continue;
      }
      if (!sleeper.Sleep(word_, found, deadline_ns)) {
        return SyncResult::kTimedOut;
      }
    }
  }

  // Lets go; `whole`: what was torn is so no more. Nobody is woken yet.
  SyncResult Release(uint32_t locker, bool whole) {
    for (;;) {
      const uint32_t found = Load();
      if (OwnerOf(found) != locker) return SyncResult::kNotOwner;
      const uint32_t kept = whole ? 0 : found & layout::kTorn;
      if (Memory::CompareExchange(word_, found, kept,
                                  std::memory_order_seq_cst)) {
        return SyncResult::kDone;
      }
    }
  }

  // After Release.
  bool IsAwaited() const {
    return Memory::Load(waiters_, std::memory_order_seq_cst) != 0;
  }
  void WakeOne() const {
    if (IsAwaited()) Futex::WakeOne(word_);
  }
  void WakeAll() const {
    if (IsAwaited()) Futex::WakeAll(word_);
  }

  // For its owner.
  SyncResult MarkConsistent(uint32_t locker) {
    for (;;) {
      const uint32_t found = Load();
      if (OwnerOf(found) != locker) return SyncResult::kNotOwner;
      if (Memory::CompareExchange(word_, found, found & ~layout::kTorn,
                                  std::memory_order_seq_cst)) {
        return SyncResult::kDone;
      }
    }
  }

 private:
  static SyncResult Taken(uint32_t found) {
    return (found & layout::kTorn) != 0 ? SyncResult::kDoneTorn
                                        : SyncResult::kDone;
  }

  uint32_t* const word_;
  uint32_t* const waiters_;
};

// Says what the memory is from now on, unless it is something already: false.
// The primitive's other words are stored before. One program makes a
// primitive, as with sem_init(3).
template <typename Memory>
bool PublishHead(uint32_t* head, layout::SyncKind kind) {
  return Memory::CompareExchange(head, uint32_t{0}, layout::SyncHead(kind),
                                 std::memory_order_seq_cst);
}

// What stands there; kNone for what is no primitive.
template <typename Memory>
layout::SyncKind KindAt(const uint32_t* head) {
  return layout::SyncKindOf(Memory::Load(head, std::memory_order_acquire));
}

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_OWNED_WORD_H_
