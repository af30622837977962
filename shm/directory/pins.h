#ifndef SHMD_SHM_DIRECTORY_PINS_H_
#define SHMD_SHM_DIRECTORY_PINS_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "absl/container/flat_hash_set.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_words.h"
#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"

namespace shmd {

enum class PinOutcome {
  kPinned,
  kAbsent,
  kTryAgain,  // as Lookup::kTryAgain
  kNoSlot,    // as many pins as a session can have
};

struct PinResult {
  PinOutcome outcome = PinOutcome::kTryAgain;
  uint32_t slot = 0;
};

// Slots that a thread believes to be unused, of one page. They are hints: what
// a slot's word says is true.
struct SlotHints {
  static constexpr uint32_t kMost = 60;

  uint64_t page_number = 0;
  uint32_t count = 0;
  uint32_t slots[kMost] = {};
  uint64_t recent_count = 0;         // as this thread left it
  uint32_t recent_pause = 0;         // so many more pins are not recorded
  uint32_t recent_pause_length = 0;  // the next time that others are at it
};

// Of this thread, for the page it used last.
inline thread_local SlotHints thread_slot_hints;

// Which page is which in `thread_slot_hints`, so that a page at the address of
// an earlier one is told from it. Thread-safe.
uint64_t NextPageNumber();

// What a program pins in its session's page: the daemon frees no entry of a
// directory, and nothing that it leads to, while a slot names it. Does not own
// the page. Thread-safe; no thread waits for another, and each usually has
// slots of cache lines of its own.
template <typename Memory>
class BasicPinSet {
 public:
  explicit BasicPinSet(layout::SessionPage* page)
      : page_(page), page_number_(NextPageNumber()) {}
  BasicPinSet(const BasicPinSet&) = delete;
  BasicPinSet& operator=(const BasicPinSet&) = delete;

  // Finds an object and pins it, so that it stays until Unpin(), also when it
  // is deleted or replaced meanwhile.
  PinResult Pin(const BasicDirectoryReader<Memory>& reader, const NameKey& key,
                FoundObject* found);

  // `slot` is of Pin(), once.
  void Unpin(uint32_t slot) {
    Memory::Store(&page_->pins[slot], uint64_t{0}, std::memory_order_release);
    SlotHints& hints = Hints();
    if (hints.count < SlotHints::kMost) hints.slots[hints.count++] = slot;
  }

 private:
  static constexpr int kAttempts = 128;
  static constexpr uint64_t kSlotsInLine = 8;
  static constexpr uint64_t kLines = layout::kMaxPins / kSlotsInLine;
  // So many lines are given out before used ones are searched: two threads
  // with slots in the same line would wait for each other at every pin.
  static constexpr uint64_t kLinesOfTheirOwn = 64;
  static constexpr uint32_t kMaxRecentPause = 31;

  SlotHints& Hints() const {
    SlotHints& hints = thread_slot_hints;
    if (hints.page_number != page_number_) {
      hints.page_number = page_number_;
      hints.count = 0;
      hints.recent_count = 0;
      hints.recent_pause = 0;
      hints.recent_pause_length = 0;
    }
    return hints;
  }
  // Takes a slot by writing `word` into it. Sequentially consistent.
  bool Take(uint32_t slot, uint64_t word) {
    return Memory::Load(&page_->pins[slot], std::memory_order_relaxed) == 0 &&
           Memory::CompareExchange(&page_->pins[slot], uint64_t{0}, word,
                                   std::memory_order_seq_cst);
  }
  bool TakeAny(SlotHints& hints, uint64_t word, uint32_t* slot);
  bool AddHints(SlotHints& hints);
  bool AddHintsOfLines(SlotHints& hints, uint64_t lines);
  void Record(SlotHints& hints, uint32_t position);

  layout::SessionPage* const page_;
  const uint64_t page_number_;
  std::atomic<uint64_t> lines_used_{0};
  std::atomic<uint64_t> next_line_{0};  // where to search for unused slots
};

using PinSet = BasicPinSet<layout::HostMemory>;

// Calls `visit(position)` for what a page pins: at most kMaxPins, which may be
// any numbers at all. Returns how many slots it looked at. For the daemon,
// after it has retired what it wants to free. What the page says is read once
// and leads nowhere.
template <typename Memory = layout::HostMemory, typename Visit>
uint64_t ForEachPin(const layout::SessionPage* page, Visit visit) {
  const uint64_t used = std::min(
      layout::kMaxPins,
      Memory::Load(&page->header.pins_used, std::memory_order_seq_cst));
  for (uint64_t i = 0; i < used; ++i) {
    const uint32_t position =
        PositionOf(Memory::Load(&page->pins[i], std::memory_order_seq_cst));
    if (position != 0) visit(position);
  }
  return used;
}

// Adds them to `pinned`.
template <typename Memory = layout::HostMemory>
void CollectPins(const layout::SessionPage* page,
                 absl::flat_hash_set<uint32_t>* pinned) {
  ForEachPin<Memory>(page,
                     [pinned](uint32_t position) { pinned->insert(position); });
}

template <typename Memory>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline PinResult BasicPinSet<Memory>::Pin(
    const BasicDirectoryReader<Memory>& reader, const NameKey& key,
    FoundObject* found) {
  SlotHints& hints = Hints();
  PinResult result;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const Lookup lookup = reader.Find(key, found);
    if (lookup != Lookup::kFound) {
      result.outcome = lookup == Lookup::kAbsent ? PinOutcome::kAbsent
                                                 : PinOutcome::kTryAgain;
      return result;
    }
    const uint64_t word = PinOf(found->position, found->control);
    if (!TakeAny(hints, word, &result.slot)) {
      result.outcome = PinOutcome::kNoSlot;
      return result;
    }
    // Either the daemon, which retires first and reads pins then, sees this
    // one, or this sees that the entry was retired.
    if (reader.IsStill(*found, std::memory_order_seq_cst)) {
      Record(hints, found->position);
      result.outcome = PinOutcome::kPinned;
      return result;
    }
    Unpin(result.slot);
  }
  result.outcome = PinOutcome::kTryAgain;
  return result;
}

template <typename Memory>
inline bool BasicPinSet<Memory>::TakeAny(SlotHints& hints, uint64_t word,
                                         uint32_t* slot) {
  do {
    while (hints.count > 0) {
      *slot = hints.slots[--hints.count];
      if (Take(*slot, word)) return true;
    }
  } while (AddHints(hints));
  return false;
}

template <typename Memory>
bool BasicPinSet<Memory>::AddHints(SlotHints& hints) {
  uint64_t line = lines_used_.load(std::memory_order_relaxed);
  if (line >= kLinesOfTheirOwn && AddHintsOfLines(hints, kLinesOfTheirOwn)) {
    return true;
  }
  while (line < kLines) {
    if (!lines_used_.compare_exchange_weak(line, line + 1,
                                           std::memory_order_relaxed)) {
      continue;
    }
    // Before any pin in these slots; and other threads must not take it back.
    const uint64_t wanted = (line + 1) * kSlotsInLine;
    uint64_t* const used = &page_->header.pins_used;
    for (;;) {
      const uint64_t was = Memory::Load(used, std::memory_order_relaxed);
      if (was >= wanted || Memory::CompareExchange(used, was, wanted,
                                                   std::memory_order_seq_cst)) {
        break;
      }
    }
    for (uint64_t i = kSlotsInLine; i > 0; --i) {
      hints.slots[hints.count++] =
          static_cast<uint32_t>(line * kSlotsInLine + i - 1);
    }
    return true;
  }
  return AddHintsOfLines(hints, kLines);
}

template <typename Memory>
bool BasicPinSet<Memory>::AddHintsOfLines(SlotHints& hints, uint64_t lines) {
  const uint64_t used = lines_used_.load(std::memory_order_relaxed);
  for (uint64_t i = 0; i < std::min(used, lines); ++i) {
    const uint64_t line =
        next_line_.fetch_add(1, std::memory_order_relaxed) % used;
    for (uint64_t j = 0; j < kSlotsInLine; ++j) {
      const auto slot = static_cast<uint32_t>(line * kSlotsInLine + j);
      if (Memory::Load(&page_->pins[slot], std::memory_order_relaxed) == 0) {
        hints.slots[hints.count++] = slot;
      }
    }
    if (hints.count > 0) return true;
  }
  return false;
}

// For the order of eviction only, so it may lose some. A thread that finds that
// others are at it as well pauses, the longer the more often: the line would go
// to and fro, and the next pin, which is sequentially consistent, would wait
// for it.
template <typename Memory>
inline void BasicPinSet<Memory>::Record(SlotHints& hints, uint32_t position) {
  if (hints.recent_pause > 0) {
    --hints.recent_pause;
    return;
  }
  layout::SessionHeader& header = page_->header;
  const uint64_t count =
      Memory::Load(&header.recent_count, std::memory_order_relaxed);
  if (count == hints.recent_count) {
    hints.recent_pause_length /= 2;
  } else {
    hints.recent_pause_length =
        std::min(2 * hints.recent_pause_length + 1, kMaxRecentPause);
    hints.recent_pause = hints.recent_pause_length;
  }
  Memory::Store(&header.recent[count % layout::kRecentUses], position,
                std::memory_order_relaxed);
  hints.recent_count = count + 1;
  Memory::Store(&header.recent_count, count + 1, std::memory_order_relaxed);
}

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_PINS_H_
