#include "base/deadline.h"

#include <algorithm>

#include "base/clock.h"

namespace shmd {
namespace {

uint64_t NowNs() { return ReadClockNs(CLOCK_MONOTONIC); }

// Sums that are too large are never.
uint64_t After(uint64_t now_ns, absl::Duration left) {
  if (left <= absl::ZeroDuration()) return 0;
  const auto left_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(left));
  if (left == absl::InfiniteDuration() ||
      left_ns > static_cast<uint64_t>(INT64_MAX) - now_ns) {
    return Deadline::kNeverNs;
  }
  return now_ns + left_ns;
}

}  // namespace

// By clocks that are a tick old, which cost a fifth: both as old as each other,
// so that the point is exact.
void Deadline::Fix() const {
  if (wall_ == absl::InfiniteFuture()) {
    ns_ = kNeverNs;
  } else {
    uint64_t now_ns = 0;
    uint64_t wall_ns = 0;
    do {
      now_ns = ReadClockNs(CLOCK_MONOTONIC_COARSE);
      wall_ns = ReadClockNs(CLOCK_REALTIME_COARSE);
    } while (now_ns != ReadClockNs(CLOCK_MONOTONIC_COARSE));
    ns_ = After(now_ns,
                wall_ - absl::FromUnixNanos(static_cast<int64_t>(wall_ns)));
  }
  wall_ = absl::InfinitePast();
}

bool Deadline::HasPassed() const {
  const uint64_t until_ns = ns();
  return until_ns != kNeverNs && (until_ns == 0 || NowNs() >= until_ns);
}

absl::Duration Deadline::Left() const {
  const uint64_t until_ns = ns();
  if (until_ns == kNeverNs) return absl::InfiniteDuration();
  const uint64_t now_ns = NowNs();
  return absl::Nanoseconds(
      static_cast<int64_t>(until_ns > now_ns ? until_ns - now_ns : 0));
}

Deadline Deadline::NoLaterThan(absl::Duration from_now) const {
  const uint64_t until_ns = ns();
  if (until_ns == 0 || from_now == absl::InfiniteDuration()) return *this;
  return At(
      std::min(until_ns, std::max<uint64_t>(After(NowNs(), from_now), 1)));
}

}  // namespace shmd
