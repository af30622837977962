#ifndef SHMD_BASE_CLOCK_H_
#define SHMD_BASE_CLOCK_H_

#include <cstdint>
#include <ctime>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace shmd {

// What a clock of the kernel says, clock_gettime(2), in nanoseconds.
inline uint64_t ReadClockNs(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

// The two times that a lease needs. Implementations are thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // The wall clock: what people and records see. It may jump.
  virtual absl::Time WallTime() = 0;

  // Time since boot, suspend included (CLOCK_BOOTTIME): what deadlines are
  // measured by. It never jumps.
  virtual absl::Duration SinceBoot() = 0;

  // The kernel's clocks. Lives for ever.
  static Clock* Real();
};

// A clock that stands still until it is told to move.
class FakeClock : public Clock {
 public:
  absl::Time WallTime() override;
  absl::Duration SinceBoot() override;

  // Moves both times.
  void Advance(absl::Duration duration);

  // Moves the wall clock alone, as an administrator would.
  void JumpWallTime(absl::Duration duration);

 private:
  absl::Mutex mutex_;
  absl::Time wall_time_ ABSL_GUARDED_BY(mutex_) =
      absl::FromUnixSeconds(1700000000);
  absl::Duration since_boot_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
};

}  // namespace shmd

#endif  // SHMD_BASE_CLOCK_H_
