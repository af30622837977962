#ifndef SHMD_BASE_SPIN_ESTIMATE_H_
#define SHMD_BASE_SPIN_ESTIMATE_H_

#include <algorithm>
#include <cstdint>

namespace shmd {

inline constexpr uint64_t kMostSpinNs = 1'000'000'000;

// How long the next wait is worth spinning for, by what the last ones took:
// twice that, as adaptive mutexes do, within the bound. Nothing where they took
// far longer, for then it would be in vain; and after spins that were in vain
// all the same, as they are when more threads want to run than there are
// processors, more and more waits go to sleep at once before the next try. Not
// thread-safe.
class SpinEstimate {
 public:
  // Waits that sleep at once between two spins in vain, at most, unless it is
  // told otherwise.
  static constexpr uint32_t kMostPaused = 1023;

  // More than kMostSpinNs is as much.
  explicit SpinEstimate(uint64_t most_ns, uint32_t most_paused = kMostPaused)
      : most_ns_(std::min(most_ns, kMostSpinNs)),
        most_paused_(most_paused),
        typical_ns_(most_ns_ / 2) {}

  // Of the next wait; 0: it sleeps at once.
  uint64_t NextNs() {
    if (IsPaused()) {
      --paused_;
      return 0;
    }
    // That of one who sleeps has its own waking up in it, which spinning saves.
    if (typical_ns_ > 2 * most_ns_) return 0;
    return std::min(most_ns_, 2 * typical_ns_ + kLeastNs);
  }
  // How long that one takes is of no interest.
  bool IsPaused() const { return paused_ > 0; }

  // It came while the wait spun.
  void Came(uint64_t took_ns) {
    Learn(took_ns);
    pause_ /= 2;
  }
  // It came after a sleep, or not at all, from the beginning of the wait on.
  void Slept(uint64_t took_ns, bool has_spun) {
    Learn(took_ns);
    if (!has_spun) return;
    pause_ = std::min(2 * pause_ + 1, most_paused_);
    paused_ = pause_;
  }

  uint64_t most_ns() const { return most_ns_; }

 private:
  static constexpr uint64_t kLeastNs = 2'000;
  // A wait that was longer than so many bounds counts as one of these.
  static constexpr uint64_t kLongest = 4;

  // Up by half of the way, down by an eighth: too short a spin is in vain, one
  // that could be longer than it turns out costs nothing.
  void Learn(uint64_t took_ns) {
    took_ns = std::min(took_ns, kLongest * most_ns_);
    typical_ns_ = took_ns > typical_ns_
                      ? typical_ns_ + (took_ns - typical_ns_) / 2
                      : typical_ns_ - (typical_ns_ - took_ns) / 8;
  }

  uint64_t most_ns_;
  uint32_t most_paused_;
  uint64_t typical_ns_;
  uint32_t pause_ = 0;
  uint32_t paused_ = 0;  // waits that are left of it
};

}  // namespace shmd

#endif  // SHMD_BASE_SPIN_ESTIMATE_H_
