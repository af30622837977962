#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_WORDS_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_WORDS_H_

#include <cstdint>

#include "shm/layout/directory_layout.h"

namespace shmd {

// The words of shm/layout/directory_layout.h, taken apart and put together.

// Flags of an entry's first word.
inline constexpr uint8_t kStrictFlag = 1;  // its arena is sealed against writes

// An entry's first word.
struct ControlWord {
  uint32_t sequence = 0;
  layout::EntryState state = layout::EntryState::kFree;
  uint8_t name_length = 0;
  uint8_t priority = 0;
  uint8_t flags = 0;

  static ControlWord Of(uint64_t word) {
    ControlWord control;
    control.sequence = static_cast<uint32_t>(word);
    control.state = static_cast<layout::EntryState>(word >> 32 & 0xFF);
    control.name_length = static_cast<uint8_t>(word >> 40);
    control.priority = static_cast<uint8_t>(word >> 48);
    control.flags = static_cast<uint8_t>(word >> 56);
    return control;
  }
  uint64_t word() const {
    return sequence | uint64_t{static_cast<uint8_t>(state)} << 32 |
           uint64_t{name_length} << 40 | uint64_t{priority} << 48 |
           uint64_t{flags} << 56;
  }

  // The word after one more change.
  ControlWord Next(layout::EntryState next_state) const {
    ControlWord next = *this;
    ++next.sequence;
    next.state = next_state;
    return next;
  }
};

inline layout::EntryState StateOf(uint64_t control) {
  return static_cast<layout::EntryState>(control >> 32 & 0xFF);
}

inline uint32_t NameLengthOf(uint64_t control) {
  return static_cast<uint32_t>(control >> 40 & 0xFF);
}

// Whether an entry holds an object that a look-up may return.
inline bool IsReadable(uint64_t control) {
  const layout::EntryState state = StateOf(control);
  return state == layout::EntryState::kAvailable ||
         state == layout::EntryState::kSpilled;
}

inline uint64_t CellOf(uint64_t hash, uint32_t position) {
  return (hash >> 32) << 32 | position;
}
inline uint32_t PositionOf(uint64_t cell) {
  return static_cast<uint32_t>(cell);
}
inline uint32_t TagOf(uint64_t cell) {
  return static_cast<uint32_t>(cell >> 32);
}

// The position of the entry of this number in a chunk, and the reverse.
inline uint32_t EntryPosition(uint32_t first_position, uint64_t number) {
  const uint64_t block = number / layout::kEntriesInBlock;
  return static_cast<uint32_t>(first_position +
                               block * 2 * layout::kEntriesInBlock +
                               number % layout::kEntriesInBlock);
}
inline uint64_t EntryNumber(uint32_t first_position, uint32_t position) {
  const uint64_t offset = position - first_position;
  const uint64_t block = offset / (2 * layout::kEntriesInBlock);
  const uint64_t line = offset % (2 * layout::kEntriesInBlock);
  // The other lines have no numbers.
  if (line >= layout::kEntriesInBlock) return ~uint64_t{0};
  return block * layout::kEntriesInBlock + line;
}

inline uint64_t PinOf(uint32_t position, uint64_t control) {
  return position | control << 32;
}

// Where an index is; of no size where there is none yet.
struct IndexSpan {
  uint64_t offset_bytes = 0;
  uint64_t buckets = 0;

  static constexpr uint64_t kMaxLogarithm = 40;

  static IndexSpan Of(uint64_t word) {
    IndexSpan span;
    const uint64_t logarithm = word >> 40 & 0xFF;
    if (word == 0 || logarithm > kMaxLogarithm) return span;
    span.offset_bytes =
        (word & ((uint64_t{1} << 40) - 1)) * layout::kBucketBytes;
    span.buckets = uint64_t{1} << logarithm;
    return span;
  }
  uint64_t word() const {
    return offset_bytes / layout::kBucketBytes |
           uint64_t{static_cast<unsigned>(__builtin_ctzll(buckets))} << 40;
  }
  uint64_t end_bytes() const {
    return offset_bytes + buckets * layout::kBucketBytes;
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_WORDS_H_
