#ifndef SHMD_SHM_LAYOUT_MEMORY_WORD_H_
#define SHMD_SHM_LAYOUT_MEMORY_WORD_H_

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <atomic>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)  // GCC's
#define SHMD_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)  // clang's
#define SHMD_THREAD_SANITIZER
#endif
#endif

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
class HostMemory {
 public:
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
  // Adds, modulo the word's size; what it was before.
  template <typename Word>
  static Word Add(Word* word, Word value, std::memory_order order) {
    return __atomic_fetch_add(word, value, Builtin(order));
  }

  // Which of the words from `words`, eight of them at a multiple of 64 bytes,
  // have `tag` in bits 32-63: a bit for each, the first lowest. Acquires.
  static unsigned WordsWithTag(const uint64_t* words, uint32_t tag) {
#if defined(__SSE2__) && !defined(SHMD_THREAD_SANITIZER)
    // No vector load tears an aligned word on a processor that has these, and
    // none is done before an earlier one or after a later one. The barriers
    // tell the compiler.
    // SAFETY: aligned, by contract.
    const auto* const vectors = reinterpret_cast<const __m128i*>(words);
    asm volatile("" ::: "memory");
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
    const auto upper_halves = [](const __m128i& a, const __m128i& b) {
      return _mm_castps_si128(_mm_shuffle_ps(
          _mm_castsi128_ps(_mm_load_si128(&a)),
          _mm_castsi128_ps(_mm_load_si128(&b)), _MM_SHUFFLE(3, 1, 3, 1)));
    };
    const auto equal = [&](const __m128i& tags) {
      return static_cast<unsigned>(
          _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(tags, wanted))));
    };
    const unsigned found = equal(upper_halves(vectors[0], vectors[1])) |
                           equal(upper_halves(vectors[2], vectors[3])) << 4;
    asm volatile("" ::: "memory");
    return found;
#else
    unsigned found = 0;
    for (unsigned i = 0; i < 8; ++i) {
      const uint64_t word = Load(&words[i], std::memory_order_acquire);
      found |= unsigned{static_cast<uint32_t>(word >> 32) == tag} << i;
    }
    return found;
#endif
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
