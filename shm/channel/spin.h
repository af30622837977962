#ifndef SHMD_SHM_CHANNEL_SPIN_H_
#define SHMD_SHM_CHANNEL_SPIN_H_

#include <algorithm>
#include <cstdint>

namespace shmd {

// The longest that one wait spins, unless its owner says otherwise: somewhat
// more than it takes to wake a program on an idle processor and have it answer.
inline constexpr uint64_t kDefaultSpinNs = 50'000;
inline constexpr uint64_t kMostSpinNs = 1'000'000'000;

// How long the next wait is worth spinning for, by what the last ones took:
// twice that, as adaptive mutexes do, within the bound. Nothing where they took
// far longer, for then it would be in vain; and after spins that were in vain
// all the same, as they are when more threads want to run than there are
// processors, more and more waits go to sleep at once before the next try. Not
// thread-safe.
class SpinEstimate {
 public:
  // Waits that sleep at once between two spins in vain, at most.
  static constexpr uint32_t kMostPaused = 1023;

  // More than kMostSpinNs is as much.
  explicit SpinEstimate(uint64_t most_ns = kDefaultSpinNs)
      : most_ns_(std::min(most_ns, kMostSpinNs)), typical_ns_(most_ns_ / 2) {}

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
    pause_ = std::min(2 * pause_ + 1, kMostPaused);
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
  uint64_t typical_ns_;
  uint32_t pause_ = 0;
  uint32_t paused_ = 0;  // waits that are left of it
};

// How one who waits spins before it sleeps. Not thread-safe.
template <typename Wait>
class BasicSpin {
 public:
  // 0 sleeps at once.
  void set_most_ns(uint64_t most_ns) { estimate_ = SpinEstimate(most_ns); }
  uint64_t most_ns() const { return estimate_.most_ns(); }

  // Looks until `is_there()`, for as long as that is worth while. When it says
  // false, Slept comes after the sleep.
  template <typename IsThere>
  bool Until(const IsThere& is_there) {
    begin_ns_ = 0;
    has_spun_ = false;
    if (most_ns() == 0 || !Wait::CanSpin()) return false;
    const bool is_paused = estimate_.IsPaused();
    const uint64_t limit_ns = estimate_.NextNs();
    if (is_paused) return false;
    if (limit_ns == 0) {
      begin_ns_ = Wait::NowNs();
      return false;
    }
    has_spun_ = true;
    if (Look(kTurnsBeforeClock, is_there)) {
      estimate_.Came(0);
      return true;
    }
    begin_ns_ = Wait::NowNs();
    for (uint64_t took_ns = 0; took_ns < limit_ns;
         took_ns = Wait::NowNs() - begin_ns_) {
      if (!Look(kTurnsBetweenClocks, is_there)) continue;
      estimate_.Came(took_ns);
      return true;
    }
    return false;
  }

  void Slept() {
    if (begin_ns_ == 0) return;
    estimate_.Slept(Wait::NowNs() - begin_ns_, has_spun_);
  }

 private:
  // Reading the clock takes as long as two turns or three.
  static constexpr uint32_t kTurnsBeforeClock = 32;
  static constexpr uint32_t kTurnsBetweenClocks = 16;

  template <typename IsThere>
  static bool Look(uint32_t turns, const IsThere& is_there) {
    for (uint32_t i = 0; i < turns; ++i) {
      if (is_there()) return true;
      Wait::Pause();
    }
    return false;
  }

  SpinEstimate estimate_;
  uint64_t begin_ns_ = 0;  // of the wait; 0: nobody asked for it
  bool has_spun_ = false;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_SPIN_H_
