#ifndef SHMD_SHM_SYNC_LOCKER_H_
#define SHMD_SHM_SYNC_LOCKER_H_

#include <atomic>
#include <cstdint>

#include "shm/layout/memory_word.h"
#include "shm/layout/sync_layout.h"
#include "shm/sync/host_futex.h"

namespace shmd {

// Where a primitive is, in words that mean something to the daemon.
struct SyncPlace {
  uint64_t generation = 0;  // of the segment
  uint64_t offset_bytes = 0;
};

inline constexpr uint32_t kNoSlot = UINT32_MAX;

// Who holds and waits: a session, by its number and its page. What it is at
// stands in a slot of the page from before the primitive is touched until
// after. Thread-safe. Borrows the page.
template <typename Memory, typename Futex>
class BasicLocker {
 public:
  BasicLocker(layout::SyncPage* page, uint32_t number)
      : page_(page), number_(number) {}

  uint32_t number() const { return number_; }

  // Takes a slot; kNoSlot when all are in use, which the calls below take for
  // a slot that nobody looks at.
  uint32_t Announce(const SyncPlace& place, layout::SyncKind kind,
                    layout::SyncState state, uint32_t detail = 0) {
    const uint32_t slot = TakeNumber();
    if (slot == kNoSlot) return slot;
    layout::SyncSlot* const at = &page_->slots[slot];
    Put(&at->generation, place.generation);
    Put(&at->offset_bytes, place.offset_bytes);
    Put(&at->kind, uint32_t{static_cast<uint8_t>(kind)});
    Put(&at->thread, Futex::ThreadId());
    Put(&at->detail, detail);
    Put(&at->since_ns, Futex::RecentNs());
    Put(&at->counted, uint32_t{0});
    SetState(slot, state);
    return slot;
  }

  // The primitive's word is changed behind these, by a sequentially consistent
  // exchange: no store of a slot comes later than that, or, for those after
  // it, earlier.
  void SetState(uint32_t slot, layout::SyncState state) {
    if (slot == kNoSlot) return;
    Memory::Store(&page_->slots[slot].state, static_cast<uint32_t>(state),
                  std::memory_order_release);
  }
  void SetDetail(uint32_t slot, uint32_t detail) {
    if (slot == kNoSlot) return;
    Memory::Store(&page_->slots[slot].detail, detail,
                  std::memory_order_release);
  }
  void SetCounted(uint32_t slot, bool counted) {
    if (slot == kNoSlot) return;
    Memory::Store(&page_->slots[slot].counted, uint32_t{counted},
                  std::memory_order_release);
  }

  void Clear(uint32_t slot) {
    if (slot == kNoSlot) return;
    SetState(slot, layout::SyncState::kFree);
    used_[slot / 64].fetch_and(~(uint64_t{1} << slot % 64),
                               std::memory_order_release);
  }

 private:
  template <typename Word>
  static void Put(Word* word, Word value) {
    Memory::Store(word, value, std::memory_order_relaxed);
  }

  uint32_t TakeNumber() {
    for (uint32_t i = 0; i < kWords; ++i) {
      uint64_t used = used_[i].load(std::memory_order_relaxed);
      while (used != ~uint64_t{0}) {
        const uint64_t free = ~used & (used + 1);
        if (used_[i].compare_exchange_weak(used, used | free,
                                           std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
          return i * 64 + static_cast<uint32_t>(__builtin_ctzll(free));
        }
      }
    }
    return kNoSlot;
  }

  static constexpr uint32_t kWords = layout::kSyncSlots / 64;

  layout::SyncPage* const page_;
  const uint32_t number_;
  // Which slots are taken: this program's business alone.
  std::atomic<uint64_t> used_[kWords] = {};
};

using Locker = BasicLocker<layout::HostMemory, HostFutex>;

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_LOCKER_H_
