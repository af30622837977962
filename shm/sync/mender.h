#ifndef SHMD_SHM_SYNC_MENDER_H_
#define SHMD_SHM_SYNC_MENDER_H_

#include <cstdint>

#include "shm/layout/sync_layout.h"
#include "shm/sys/futex.h"
#include "shm/sys/memory.h"

namespace shmd {

// How the daemon touches memory that others write, and may take away: the
// kernel does it for it. Each is false where there is no memory any more.
struct GuardedWords {
  static bool Load(const uint32_t* word, uint32_t* value);
  static bool SetToBit(uint32_t* word, int bit) {
    return sys::FutexApply(word, sys::FutexChange::kSetToBit, bit);
  }
  static bool Clear(uint32_t* word) {
    return sys::FutexApply(word, sys::FutexChange::kClear, 0);
  }
  static bool OrBit(uint32_t* word, int bit) {
    return sys::FutexApply(word, sys::FutexChange::kOrBit, bit);
  }
  static bool Add(uint32_t* word, int value) {
    return sys::FutexApply(word, sys::FutexChange::kAdd, value);
  }
  static void WakeAll(const uint32_t* word) { sys::FutexWakeAll(word); }
};

enum class MendResult {
  kNothing,      // no such primitive, or no memory
  kWoken,        // the dead one did not own it
  kOwnerDied,    // it did
  kNotHeld,      // of Break
  kUnsupported,  // of Break: what nobody owns
};

// Lets go for a locker that is dead, or is to be treated as if it were: for
// the daemon alone, one call at a time. Bounded: reads each word once, waits
// for nothing, and writes to nothing but the primitive. What is there may be
// anything.
template <typename Words, typename RwLock = layout::RwLockLayout>
class BasicSyncMender {
 public:
  // `memory` is that of the segment that the slot names.
  BasicSyncMender(void* memory, uint64_t size_bytes)
      : memory_(static_cast<char*>(memory)), size_bytes_(size_bytes) {}

  // What stands at an offset; kNone for what is no primitive, or not within.
  layout::SyncKind KindAt(uint64_t offset_bytes) const {
    if (offset_bytes % layout::kSyncAlignment != 0 ||
        offset_bytes >= size_bytes_) {
      return layout::SyncKind::kNone;
    }
    uint32_t head = 0;
    if (!Words::Load(WordAt(offset_bytes, 0), &head)) {
      return layout::SyncKind::kNone;
    }
    const layout::SyncKind kind = layout::SyncKindOf(head);
    const bool fits = layout::SyncBytes(kind) <= size_bytes_ - offset_bytes;
    return fits ? kind : layout::SyncKind::kNone;
  }

  // After the death of `locker`, which has left `slot`.
  MendResult Mend(const layout::SyncSlot& slot, uint32_t locker) {
    const layout::SyncKind kind = KindAt(slot.offset_bytes);
    if (kind == layout::SyncKind::kNone ||
        slot.kind != static_cast<uint32_t>(kind)) {
      return MendResult::kNothing;
    }
    const uint64_t at = slot.offset_bytes;
    MendResult result = MendResult::kWoken;
    switch (kind) {
      case layout::SyncKind::kRwLock:
        result = LetGo(at, locker);
        ClearReaders(at, locker);
        break;
      case layout::SyncKind::kMutex:
      case layout::SyncKind::kSeqValue:
        result = LetGo(at, locker);
        break;
      case layout::SyncKind::kBarrier:
        if (BreakRound(at, slot)) result = MendResult::kOwnerDied;
        break;
      case layout::SyncKind::kCondition:
        Words::Add(WordAt(at, kWordAt), 1);
        break;
      case layout::SyncKind::kSemaphore:
      case layout::SyncKind::kEvent:
      case layout::SyncKind::kNone:
        break;
    }
    uint32_t waiters = 0;
    uint32_t* const waiters_at = WordAt(at, kWaitersAt);
    if (slot.counted != 0 && Words::Load(waiters_at, &waiters) && waiters > 0) {
      Words::Add(waiters_at, -1);
    }
    Words::WakeAll(WordAt(at, kWordAt));
    return result;
  }

  // Takes a lock away from whoever has it; breaks a barrier.
  MendResult Break(uint64_t offset_bytes) {
    const layout::SyncKind kind = KindAt(offset_bytes);
    if (kind == layout::SyncKind::kNone) return MendResult::kNothing;
    uint32_t* const word = WordAt(offset_bytes, kWordAt);
    MendResult result = MendResult::kUnsupported;
    switch (kind) {
      case layout::SyncKind::kRwLock: {
        const bool written = TakeAway(word);
        const bool read = ClearReaders(offset_bytes, /*locker=*/0);
        result =
            written || read ? MendResult::kOwnerDied : MendResult::kNotHeld;
        break;
      }
      case layout::SyncKind::kMutex:
      case layout::SyncKind::kSeqValue:
        result = TakeAway(word) ? MendResult::kOwnerDied : MendResult::kNotHeld;
        break;
      case layout::SyncKind::kBarrier:
        Words::OrBit(word, layout::kBarrierBrokenBit);
        result = MendResult::kOwnerDied;
        break;
      case layout::SyncKind::kCondition:
      case layout::SyncKind::kSemaphore:
      case layout::SyncKind::kEvent:
      case layout::SyncKind::kNone:
        return result;
    }
    Words::WakeAll(word);
    return result;
  }

 private:
  static constexpr uint64_t kWordAt = 4;
  static constexpr uint64_t kWaitersAt = 8;
  static_assert(offsetof(layout::MutexLayout, word) == kWordAt);
  static_assert(offsetof(layout::MutexLayout, waiters) == kWaitersAt);

  // SAFETY: of a multiple of 64 that KindAt has found to lie within.
  uint32_t* WordAt(uint64_t offset_bytes, uint64_t within) const {
    return reinterpret_cast<uint32_t*>(memory_ + offset_bytes + within);
  }

  // A word that names the dead is changed by nobody but the daemon.
  MendResult LetGo(uint64_t at, uint32_t locker) {
    uint32_t found = 0;
    uint32_t* const word = WordAt(at, kWordAt);
    if (!Words::Load(word, &found) || (found & layout::kLockerMask) != locker) {
      return MendResult::kWoken;
    }
    Words::SetToBit(word, layout::kTornBit);
    return MendResult::kOwnerDied;
  }

  bool TakeAway(uint32_t* word) {
    uint32_t found = 0;
    if (!Words::Load(word, &found) || (found & layout::kLockerMask) == 0) {
      return false;
    }
    return Words::SetToBit(word, layout::kTornBit);
  }

  // Those of `locker`, 0: all. Whether there was one.
  bool ClearReaders(uint64_t at, uint32_t locker) {
    bool any = false;
    for (uint32_t i = 0; i < sizeof(RwLock::readers) / 4; ++i) {
      uint32_t* const reader = WordAt(at, offsetof(RwLock, readers) + i * 4);
      uint32_t found = 0;
      if (!Words::Load(reader, &found) || found == 0) continue;
      if (locker != 0 && found != locker) continue;
      any = Words::Clear(reader) || any;
    }
    uint32_t* const left = WordAt(at, offsetof(RwLock, left));
    Words::Add(left, 1);
    Words::WakeAll(left);
    return any;
  }

  bool BreakRound(uint64_t at, const layout::SyncSlot& slot) {
    uint32_t found = 0;
    uint32_t* const word = WordAt(at, kWordAt);
    if (slot.state != static_cast<uint32_t>(layout::SyncState::kWaiting) ||
        !Words::Load(word, &found) ||
        layout::BarrierRound(found) != slot.detail) {
      return false;
    }
    return Words::OrBit(word, layout::kBarrierBrokenBit);
  }

  char* const memory_;
  const uint64_t size_bytes_;
};

using SyncMender = BasicSyncMender<GuardedWords>;

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_MENDER_H_
