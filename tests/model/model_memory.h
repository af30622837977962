#ifndef SHMD_TESTS_MODEL_MODEL_MEMORY_H_
#define SHMD_TESTS_MODEL_MODEL_MEMORY_H_

// Shared memory for the Relacy model checker, in place of layout::HostMemory:
// the words of a layout are rl::atomic, found by the addresses that they would
// have.

#include <atomic>
#include <cstdint>
#include <ostream>
#include <type_traits>

#include "tests/model/model.h"
#include "tests/testing/effort.h"

namespace shmd::model {

inline constexpr int kMaxWords = 160;

// The words of one run of a model, which Relacy makes anew for each. One lives
// at a time.
class Words {
 public:
  Words() { current() = this; }

  // Called first, when only one thread runs: Relacy tells words that were
  // never written.
  void Clear() {
    for (auto& word : words_) word.store(0, rl::mo_relaxed, $);
  }

  static rl::atomic<uint64_t>& At(const void* address) {
    return current()->words_[NumberOf(address)];
  }

  // From 0; the same in all runs. On no heap: Relacy watches that.
  static int NumberOf(const void* address) {
    static const void* addresses[kMaxWords] = {};
    auto number =
        static_cast<int>(reinterpret_cast<uintptr_t>(address) / 4 % kMaxWords);
    for (int i = 0; i < kMaxWords; ++i) {
      if (addresses[number] == nullptr) addresses[number] = address;
      if (addresses[number] == address) break;
      number = (number + 1) % kMaxWords;
    }
    RL_ASSERT(addresses[number] == address);
    return number;
  }

 private:
  static Words*& current() {
    static Words* words = nullptr;
    return words;
  }
  rl::atomic<uint64_t> words_[kMaxWords];
};

// What a process that may die at any store does to the memory. `Tag` is a type
// of the model's own, one for each process, which also seeds bugs in it:
//
//   static std::memory_order Demote(std::memory_order)
//                                  the order that is used for one asked for;
//                                  acq_rel is the half that the access has
//   template <typename Word> static Word Change(const Word*, Word)
//                                  the value that is stored for one asked for
//   static bool Skip(const void*)  whether a load returns what the last one of
//                                  this process at this address did
template <typename Tag>
struct ModelMemory {
  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    static uint64_t last[kMaxWords] = {};
    static bool seen[kMaxWords] = {};
    const int number = Words::NumberOf(word);
    if (Tag::Skip(word) && seen[number]) {
      seen[number] = false;
      return static_cast<Word>(last[number]);
    }
    const uint64_t value =
        Words::At(word).load(Native(Tag::Demote(order), rl::mo_acquire), $);
    last[number] = value;
    seen[number] = true;
    return static_cast<Word>(value);
  }
  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    if (Dies()) return;
    Words::At(word).store(Tag::Change(word, value),
                          Native(Tag::Demote(order), rl::mo_release), $);
  }
  template <typename Word>
  static Word Exchange(Word* word, Word value, std::memory_order order) {
    if (Dies()) return Word{};
    return static_cast<Word>(Words::At(word).exchange(
        value, Native(Tag::Demote(order), rl::mo_acq_rel), $));
  }
  template <typename Word>
  static bool CompareExchange(Word* word, Word expected, Word value,
                              std::memory_order order) {
    if (Dies()) return true;
    uint64_t was = expected;
    return Words::At(word).compare_exchange_strong(
        was, value, Native(Tag::Demote(order), rl::mo_acq_rel), $);
  }
  static unsigned WordsWithTag(const uint64_t* words, uint32_t tag) {
    unsigned found = 0;
    for (unsigned i = 0; i < 7; ++i) {
      const uint64_t word = Words::At(&words[i]).load(rl::mo_acquire, $);
      found |= unsigned{static_cast<uint32_t>(word >> 32) == tag} << i;
    }
    return found;
  }

  // The process dies before its store of this number; what it does afterwards
  // nobody sees.
  static inline uint64_t stores_left = ~uint64_t{0};
  static bool IsDead() { return stores_left == 0; }

 private:
  static bool Dies() {
    if (stores_left == 0) return true;
    --stores_left;
    return false;
  }
  static rl::memory_order Native(std::memory_order order,
                                 rl::memory_order both) {
    switch (order) {
      case std::memory_order_relaxed:
        return rl::mo_relaxed;
      case std::memory_order_acquire:
        return rl::mo_acquire;
      case std::memory_order_release:
        return rl::mo_release;
      case std::memory_order_acq_rel:
        return both;
      default:
        return rl::mo_seq_cst;
    }
  }
};

// A process without bugs.
struct Sound {
  static std::memory_order Demote(std::memory_order order) { return order; }
  template <typename Word>
  static Word Change(const Word*, Word value) {
    return value;
  }
  static bool Skip(const void*) { return false; }
};

// Runs a model `runs` times (tests/testing/effort.h), with every choice made by
// chance; whether it found no fault.
template <typename M>
bool HoldsAtRandom(unsigned runs) {
  rl::test_params params;
  params.iteration_count = static_cast<unsigned>(Effort(runs));
  params.search_type = rl::sched_random;
  std::ostream nowhere(nullptr);
  params.output_stream = &nowhere;
  params.progress_stream = &nowhere;
  return Search<M>(params) == rl::test_result_success;
}

// Runs a model in every way in which its threads interrupt each other at most
// so often: what chance hardly ever finds is one long pause.
template <typename M>
bool HoldsWithInterruptions(unsigned interruptions) {
  rl::test_params params;
  params.search_type = rl::sched_bound;
  params.context_bound = interruptions;
  std::ostream nowhere(nullptr);
  params.output_stream = &nowhere;
  params.progress_stream = &nowhere;
  return Search<M>(params) == rl::test_result_success;
}

}  // namespace shmd::model

#endif  // SHMD_TESTS_MODEL_MODEL_MEMORY_H_
