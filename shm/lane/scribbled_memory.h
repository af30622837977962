#ifndef SHMD_SHM_LANE_SCRIBBLED_MEMORY_H_
#define SHMD_SHM_LANE_SCRIBBLED_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"

namespace shmd {

// For tests: memory one page of which a hostile program changes in the very
// moment before a word of it is read, so that every flip is read, and two
// reads of a word differ. Remembers what was read. Of one thread.
class ScribbledMemory {
 public:
  static constexpr size_t kWords =
      sizeof(layout::SessionPage) / sizeof(uint64_t);

  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    const size_t at = IndexOf(word);
    if (at >= kWords) return layout::HostMemory::Load(word, order);
    FlipBefore(at);
    const Word value = layout::HostMemory::Load(word, order);
    ++loads;
    read_twice = read_twice || stamps[at] == look;
    stamps[at] = look;
    values[at] = value;
    if (word == static_cast<const void*>(&page->header.answers_read)) {
      // All of them matter: each may show that the rules were broken.
      answers_read.push_back(value);
    }
    return value;
  }
  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    wrote_theirs = wrote_theirs || IndexOf(word) < kWords;
    layout::HostMemory::Store(word, value, order);
  }
  template <typename Word>
  static Word Exchange(Word* word, Word value, std::memory_order order) {
    wrote_theirs = wrote_theirs || IndexOf(word) < kWords;
    return layout::HostMemory::Exchange(word, value, order);
  }

  // From now on words may be read again.
  static void NextLook() {
    ++look;
    loads = 0;
    read_twice = false;
    answers_read.clear();
  }

  // Uniform below `end`, a small number; xorshift, because the flips are to
  // cost less than what they test.
  static uint64_t Random(uint64_t end) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return (random >> 32) * end >> 32;
  }

  static inline layout::SessionPage* page = nullptr;
  static inline uint64_t random = 1;
  static inline uint64_t flips = 0;
  static inline bool wrote_theirs = false;
  // Since NextLook.
  static inline uint64_t look = 1;
  static inline uint64_t loads = 0;
  static inline bool read_twice = false;
  static inline std::vector<uint64_t> answers_read;
  // Of each word, what was read last, and in which look.
  static inline std::vector<uint64_t> values = std::vector<uint64_t>(kWords);
  static inline std::vector<uint64_t> stamps = std::vector<uint64_t>(kWords);

 private:
  template <typename Word>
  static size_t IndexOf(const Word* word) {
    return (reinterpret_cast<uintptr_t>(word) -
            reinterpret_cast<uintptr_t>(page)) /
           sizeof(uint64_t);
  }

  static void FlipBefore(size_t at) {
    const uint64_t dice = Random(64);
    // Of a submission's words one in eight, so that the others show whether
    // they are copied as they are; of the counters one in four.
    const bool is_counter = at * sizeof(uint64_t) < sizeof(page->header);
    if (dice % 8 != 0 && !(is_counter && dice % 8 == 4)) return;
    // Most of them low, where a counter is still believed.
    const uint64_t bits = dice < 32 ? 4 : dice < 60 ? 11 : 64;
    // SAFETY: the page is nothing but words.
    uint64_t* const word = reinterpret_cast<uint64_t*>(page) + at;
    *word ^= uint64_t{1} << Random(bits);
    ++flips;
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_LANE_SCRIBBLED_MEMORY_H_
