#ifndef SHMD_BASE_DEADLINE_H_
#define SHMD_BASE_DEADLINE_H_

#include <cstdint>

#include "absl/time/time.h"

namespace shmd {

// Until when to wait: given by the wall clock, as callers have it, and kept by
// the monotonic clock from the first time on that somebody asks, so that
// whoever sets the wall clock meanwhile makes no wait longer or shorter. That
// it is asked late costs nothing where nothing has to be waited for. Not
// thread-safe.
class Deadline {
 public:
  static constexpr uint64_t kNeverNs = UINT64_MAX;

  // Not explicit: every function that waits takes a time by this.
  Deadline(absl::Time wall) : wall_(wall) {}  // NOLINT
  static Deadline At(uint64_t monotonic_ns) { return Deadline(monotonic_ns); }
  static Deadline Never() { return At(kNeverNs); }

  // Of CLOCK_MONOTONIC, in nanoseconds; kNeverNs for never, 0 for long ago.
  uint64_t ns() const {
    if (wall_ != absl::InfinitePast()) Fix();
    return ns_;
  }
  bool HasPassed() const;
  // Not to be waited for at all.
  bool IsNow() const { return wall_ == absl::InfinitePast() && ns_ == 0; }
  // 0 when it has passed.
  absl::Duration Left() const;

  // This, or the end of so long from now, whichever comes first.
  Deadline NoLaterThan(absl::Duration from_now) const;

 private:
  explicit Deadline(uint64_t monotonic_ns) : ns_(monotonic_ns) {}
  void Fix() const;

  // InfinitePast once `ns_` says it.
  mutable absl::Time wall_ = absl::InfinitePast();
  mutable uint64_t ns_ = 0;
};

}  // namespace shmd

#endif  // SHMD_BASE_DEADLINE_H_
