#ifndef SHMD_SHM_CHANNEL_SPIN_H_
#define SHMD_SHM_CHANNEL_SPIN_H_

#include <cstdint>

#include "base/spin_estimate.h"

namespace shmd {

// The longest that one wait spins, unless its owner says otherwise: somewhat
// more than it takes to wake a program on an idle processor and have it answer.
inline constexpr uint64_t kDefaultSpinNs = 50'000;

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

  SpinEstimate estimate_{kDefaultSpinNs};
  uint64_t begin_ns_ = 0;  // of the wait; 0: nobody asked for it
  bool has_spun_ = false;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_SPIN_H_
