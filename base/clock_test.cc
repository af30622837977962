#include "base/clock.h"

#include "gtest/gtest.h"

namespace shmd {
namespace {

TEST(ClockTest, RealTimesAdvance) {
  Clock* const clock = Clock::Real();
  const absl::Duration before = clock->SinceBoot();
  EXPECT_GT(before, absl::ZeroDuration());
  EXPECT_GE(clock->SinceBoot(), before);
  EXPECT_GT(clock->WallTime(), absl::FromUnixSeconds(1600000000));
}

TEST(FakeClockTest, WallJumpLeavesTimeSinceBootAlone) {
  FakeClock clock;
  const absl::Time wall = clock.WallTime();
  const absl::Duration boot = clock.SinceBoot();
  clock.JumpWallTime(absl::Hours(24));
  EXPECT_EQ(clock.WallTime(), wall + absl::Hours(24));
  EXPECT_EQ(clock.SinceBoot(), boot);
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(clock.SinceBoot(), boot + absl::Seconds(1));
}

}  // namespace
}  // namespace shmd
