#ifndef SHMD_SHM_LANE_DYING_MEMORY_H_
#define SHMD_SHM_LANE_DYING_MEMORY_H_

#include <signal.h>

#include <atomic>
#include <cstdint>

#include "shm/layout/memory_word.h"

namespace shmd {

// For tests: memory in which this process is killed after its n-th store.
struct DyingMemory : layout::HostMemory {
  // 0: never.
  inline static uint64_t stores_left = 0;

  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    layout::HostMemory::Store(word, value, order);
    Stored();
  }
  template <typename Word>
  static Word Exchange(Word* word, Word value, std::memory_order order) {
    const Word before = layout::HostMemory::Exchange(word, value, order);
    Stored();
    return before;
  }
  template <typename Word>
  static bool CompareExchange(Word* word, Word expected, Word value,
                              std::memory_order order) {
    const bool stored =
        layout::HostMemory::CompareExchange(word, expected, value, order);
    if (stored) Stored();
    return stored;
  }
  template <typename Word>
  static Word Add(Word* word, Word value, std::memory_order order) {
    const Word before = layout::HostMemory::Add(word, value, order);
    Stored();
    return before;
  }

 private:
  static void Stored() {
    if (stores_left > 0 && --stores_left == 0) raise(SIGKILL);
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_LANE_DYING_MEMORY_H_
