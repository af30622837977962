#ifndef SHMD_SHM_SYNC_SEQ_VALUE_H_
#define SHMD_SHM_SYNC_SEQ_VALUE_H_

#include <cstdint>

#include "shm/sync/owned_word.h"

namespace shmd {

// A value of whole words of 8 bytes that is replaced as one. Readers write
// nothing, need no locker and wait for nobody: there are two copies, and the
// writer fills the one that is not current. A writer that dies leaves the
// value that was. Thread-safe. Borrows what it is given.
template <typename Memory, typename Futex>
class BasicSeqValue {
 public:
  using LockerType = BasicLocker<Memory, Futex>;

  // `words`: of the value, as it was made; checked by who opens. `locker` may
  // be null for who only reads.
  BasicSeqValue(layout::SeqValueLayout* at, uint64_t* copies, uint32_t words,
                const SyncPlace& place, LockerType* locker)
      : at_(at),
        copies_(copies),
        words_(words),
        copy_words_(static_cast<uint32_t>(layout::SeqCopyBytes(words * 8) / 8)),
        word_(&at->word, &at->waiters),
        place_(place),
        locker_(locker) {}

  SyncResult Write(const uint64_t* value, uint64_t deadline_ns) {
    const uint32_t slot = locker_->Announce(place_, layout::SyncKind::kSeqValue,
                                            layout::SyncState::kWaiting);
    if (slot == kNoSlot) return SyncResult::kNoSlots;
    SyncResult written = word_.Take(locker_, slot, deadline_ns);
    if (IsDone(written)) {
      locker_->SetState(slot, layout::SyncState::kHolding);
      Replace(value);
      // Whatever a dead one had begun has been written over.
      written = word_.Release(locker_->number(), /*whole=*/true);
      if (IsDone(written)) word_.WakeOne();
    }
    locker_->Clear(slot);
    return written;
  }

  // kTimedOut when writers were faster all the time.
  SyncResult Read(uint64_t* value, uint64_t deadline_ns) const {
    for (;;) {
      const uint32_t sequence = Sequence();
      const uint64_t* const copy = CopyOf(sequence);
      // Each acquires: who reads what the next writer but one has stored sees
      // by the sequence that the one before has been there.
      for (uint32_t i = 0; i < words_; ++i) {
        value[i] = Memory::Load(&copy[i], std::memory_order_acquire);
      }
      if (Sequence() == sequence) return SyncResult::kDone;
      if (Futex::IsPast(deadline_ns)) return SyncResult::kTimedOut;
    }
  }

 private:
  uint32_t Sequence() const {
    return Memory::Load(&at_->sequence, std::memory_order_acquire);
  }

  uint64_t* CopyOf(uint32_t sequence) const {
    return copies_ + sequence % 2 * copy_words_;
  }

  void Replace(const uint64_t* value) {
    const uint32_t next = Sequence() + 1;
    uint64_t* const copy = CopyOf(next);
    for (uint32_t i = 0; i < words_; ++i) {
      Memory::Store(&copy[i], value[i], std::memory_order_release);
    }
    Memory::Store(&at_->sequence, next, std::memory_order_release);
  }

  layout::SeqValueLayout* const at_;
  uint64_t* const copies_;
  const uint32_t words_;
  const uint32_t copy_words_;
  BasicOwnedWord<Memory, Futex> word_;
  const SyncPlace place_;
  LockerType* const locker_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_SEQ_VALUE_H_
