#include "base/clock.h"

namespace shmd {
namespace {

class RealClock : public Clock {
 public:
  absl::Time WallTime() override { return absl::Now(); }

  absl::Duration SinceBoot() override {
    return absl::Nanoseconds(static_cast<int64_t>(ReadClockNs(CLOCK_BOOTTIME)));
  }
};

}  // namespace

Clock* Clock::Real() {
  static RealClock* const clock = new RealClock;
  return clock;
}

absl::Time FakeClock::WallTime() {
  absl::MutexLock lock(&mutex_);
  return wall_time_;
}

absl::Duration FakeClock::SinceBoot() {
  absl::MutexLock lock(&mutex_);
  return since_boot_;
}

void FakeClock::Advance(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  wall_time_ += duration;
  since_boot_ += duration;
}

void FakeClock::JumpWallTime(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  wall_time_ += duration;
}

}  // namespace shmd
