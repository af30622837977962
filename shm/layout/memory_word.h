#ifndef SHMD_SHM_LAYOUT_MEMORY_WORD_H_
#define SHMD_SHM_LAYOUT_MEMORY_WORD_H_

#include <atomic>
#include <cstdint>

namespace shmd::layout {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "every number in shared memory is little-endian");

// How the words of a layout are read and written: one machine instruction
// each, with the order asked for. Algorithms over a layout take this as a
// template argument, so that a model checker can stand in for the memory.
//
// Layouts hold plain integers rather than std::atomic, whose representation
// is the compiler's; other languages do the same by their own means. No
// algorithm uses a fence of its own, because thread sanitizers do not see
// those: an acquiring load of each field does the same, and costs nothing on
// x86-64.
struct HostMemory {
  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    return __atomic_load_n(word, Builtin(order));
  }
  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    __atomic_store_n(word, value, Builtin(order));
  }
  template <typename Word>
  static Word Exchange(Word* word, Word value, std::memory_order order) {
    return __atomic_exchange_n(word, value, Builtin(order));
  }
  // Whether `word` was `expected`, and is `value` now; when not, it was only
  // read, with order relaxed.
  template <typename Word>
  static bool CompareExchange(Word* word, Word expected, Word value,
                              std::memory_order order) {
    return __atomic_compare_exchange_n(word, &expected, value, false,
                                       Builtin(order), __ATOMIC_RELAXED);
  }

 private:
  static constexpr int Builtin(std::memory_order order) {
    switch (order) {
      case std::memory_order_relaxed:
        return __ATOMIC_RELAXED;
      case std::memory_order_acquire:
      case std::memory_order_consume:
        return __ATOMIC_ACQUIRE;
      case std::memory_order_release:
        return __ATOMIC_RELEASE;
      case std::memory_order_acq_rel:
        return __ATOMIC_ACQ_REL;
      case std::memory_order_seq_cst:
        return __ATOMIC_SEQ_CST;
    }
    return __ATOMIC_SEQ_CST;
  }
};

}  // namespace shmd::layout

#endif  // SHMD_SHM_LAYOUT_MEMORY_WORD_H_
