#ifndef SHMD_SHM_LANE_RING_SLOT_H_
#define SHMD_SHM_LANE_RING_SLOT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace shmd {

// A ring's slot is written and read a word at a time, each once. So whoever
// reads has one value per field, which it checks and then uses, whatever a
// hostile writer does meanwhile. The ring's counter orders them.

template <typename Memory, typename Item>
void StoreSlot(Item* slot, const Item& item) {
  static_assert(sizeof(Item) % sizeof(uint64_t) == 0);
  static_assert(alignof(Item) == alignof(uint64_t));
  constexpr size_t kWords = sizeof(Item) / sizeof(uint64_t);
  uint64_t words[kWords];
  std::memcpy(words, &item, sizeof(Item));
  // SAFETY: nobody sees slots in shared memory as anything but words.
  uint64_t* const to = reinterpret_cast<uint64_t*>(slot);
  for (size_t i = 0; i < kWords; ++i) {
    Memory::Store(to + i, words[i], std::memory_order_relaxed);
  }
}

template <typename Memory, typename Item>
void LoadSlot(const Item* slot, Item& item) {
  static_assert(sizeof(Item) % sizeof(uint64_t) == 0);
  static_assert(alignof(Item) == alignof(uint64_t));
  constexpr size_t kWords = sizeof(Item) / sizeof(uint64_t);
  uint64_t words[kWords];
  // SAFETY: nobody sees slots in shared memory as anything but words.
  const uint64_t* const from = reinterpret_cast<const uint64_t*>(slot);
  for (size_t i = 0; i < kWords; ++i) {
    words[i] = Memory::Load(from + i, std::memory_order_relaxed);
  }
  std::memcpy(&item, words, sizeof(Item));
}

}  // namespace shmd

#endif  // SHMD_SHM_LANE_RING_SLOT_H_
