#include "base/deadline.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"

namespace shmd {
namespace {

TEST(DeadlineTest, NowAndNeverNeedNoClock) {
  EXPECT_TRUE(Deadline(absl::InfinitePast()).IsNow());
  EXPECT_TRUE(Deadline(absl::InfinitePast()).HasPassed());
  EXPECT_EQ(Deadline(absl::InfinitePast()).Left(), absl::ZeroDuration());
  EXPECT_EQ(Deadline(absl::InfiniteFuture()).ns(), Deadline::kNeverNs);
  EXPECT_FALSE(Deadline(absl::InfiniteFuture()).HasPassed());
  EXPECT_EQ(Deadline::Never().Left(), absl::InfiniteDuration());
  EXPECT_FALSE(Deadline(absl::Now() + absl::Hours(1)).IsNow());
}

TEST(DeadlineTest, PassesInItsTime) {
  const Deadline past(absl::Now() - absl::Seconds(1));
  EXPECT_TRUE(past.HasPassed());
  EXPECT_EQ(past.ns(), 0u);
  const Deadline later(absl::Now() + absl::Hours(1));
  EXPECT_FALSE(later.HasPassed());
  EXPECT_GT(later.Left(), absl::Minutes(59));
  EXPECT_LE(later.Left(), absl::Hours(1));
  const Deadline soon(absl::Now() + absl::Milliseconds(2));
  while (!soon.HasPassed()) absl::SleepFor(soon.Left());
  EXPECT_EQ(soon.Left(), absl::ZeroDuration());
}

TEST(DeadlineTest, StaysWhereItIsOnceItWasAsked) {
  const Deadline deadline(absl::Now() + absl::Hours(1));
  const uint64_t ns = deadline.ns();
  absl::SleepFor(absl::Milliseconds(2));
  EXPECT_EQ(deadline.ns(), ns);
  const Deadline copy = deadline;
  EXPECT_EQ(copy.ns(), ns);
}

TEST(DeadlineTest, WhatIsTooFarAwayIsNever) {
  EXPECT_EQ(Deadline(absl::Now() + absl::Hours(24 * 366 * 300)).ns(),
            Deadline::kNeverNs);
  EXPECT_TRUE(Deadline(absl::Now() - absl::Hours(24 * 366 * 1000)).HasPassed());
}

TEST(DeadlineTest, SlicesEndWithTheWhole) {
  const Deadline whole(absl::Now() + absl::Seconds(10));
  EXPECT_LE(whole.NoLaterThan(absl::Seconds(1)).Left(), absl::Seconds(1));
  EXPECT_EQ(whole.NoLaterThan(absl::Hours(1)).ns(), whole.ns());
  EXPECT_EQ(whole.NoLaterThan(absl::InfiniteDuration()).ns(), whole.ns());
  EXPECT_LE(Deadline::Never().NoLaterThan(absl::Seconds(1)).Left(),
            absl::Seconds(1));
  EXPECT_TRUE(
      Deadline(absl::InfinitePast()).NoLaterThan(absl::Seconds(1)).HasPassed());
  EXPECT_TRUE(Deadline::Never().NoLaterThan(absl::ZeroDuration()).HasPassed());
}

}  // namespace
}  // namespace shmd
