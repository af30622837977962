#ifndef SHMD_TESTS_FUZZ_HOSTILE_MEMORY_H_
#define SHMD_TESTS_FUZZ_HOSTILE_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "shm/layout/memory_word.h"
#include "shm/sys/futex_any.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {

// Memory that hostile programs change between any two reads of one word: what a
// read gives is what is there, or what the script makes of it. The script
// begins anew when it is at its end, so that a loop which goes on as long as
// somebody writes does not come to an end here either, and is a finding. Of one
// thread.
class HostileMemory : public layout::HostMemory {
 public:
  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    const Word value = HostMemory::Load(word, order);
    return IsTrusted(word) ? value : static_cast<Word>(Changed(value));
  }
  // Somebody may have been faster.
  template <typename Word>
  static bool CompareExchange(Word* word, Word expected, Word value,
                              std::memory_order order) {
    if (Changed(0) != 0) return false;
    return HostMemory::CompareExchange(word, expected, value, order);
  }

  // From now on. Empty: nobody changes anything.
  static void SetScript(absl::string_view script) {
    script_ = script;
    at_ = 0;
  }
  // What only the daemon writes, wherever it is mapped.
  static void Trust(const void* start, size_t bytes) {
    trusted_.push_back({reinterpret_cast<uintptr_t>(start), bytes});
  }
  static void TrustNothing() { trusted_.clear(); }
  // No call reads more words than kMostReads.
  static void NextCall() { reads_ = 0; }

 private:
  // For rings of few slots and members, by far.
  static constexpr uint64_t kMostReads = 200000;

  static bool IsTrusted(const void* word) {
    const auto address = reinterpret_cast<uintptr_t>(word);
    for (const auto& [start, bytes] : trusted_) {
      if (address - start < bytes) return true;
    }
    return false;
  }

  static uint64_t Changed(uint64_t value) {
    Expect(++reads_ < kMostReads);
    if (script_.empty()) return value;
    const auto byte = static_cast<uint8_t>(script_[at_]);
    at_ = (at_ + 1) % script_.size();
    const uint64_t operand = byte >> 3;
    switch (byte % 8) {
      case 3:
        return value + ++changes_;
      case 4:
        return value + 1 + operand;
      case 5:
        return value - 1 - operand;
      case 6:
        return operand;
      case 7:
        return value ^ uint64_t { 1 } << 2 * operand;
      default:
        return value;
    }
  }

  static inline absl::string_view script_;
  static inline size_t at_ = 0;
  static inline uint64_t changes_ = 0;
  static inline uint64_t reads_ = 0;
  static inline std::vector<std::pair<uintptr_t, size_t>> trusted_;
};

// Nobody comes.
struct NoWait {
  static bool Any(absl::Span<const sys::FutexWord>, const Deadline&) {
    return false;
  }
  // Each look is some time later, so what patience there is ends.
  static uint64_t RecentNs() {
    static uint64_t now_ns = 0;
    return now_ns += 1000 * 1000;
  }
  static void Wake(const uint32_t*) {}
  static void Pause() {}
  static bool CanSpin() { return true; }
  // Each look is a while later, so that no spin is long.
  static uint64_t NowNs() {
    static uint64_t now_ns = 0;
    return now_ns += 20 * 1000;
  }
};

}  // namespace shmd

#endif  // SHMD_TESTS_FUZZ_HOSTILE_MEMORY_H_
