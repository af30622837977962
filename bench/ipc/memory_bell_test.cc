#include "bench/ipc/memory_bell.h"

#include <thread>

#include "gtest/gtest.h"

namespace shmd::bench {
namespace {

TEST(MemoryBellTest, NoRingIsLostWhetherTheWaiterLooksOrSleeps) {
  BellPage here = {};
  BellPage there = {};
  constexpr uint64_t kRounds = 5000;
  std::thread echo([&] {
    MemoryBell bell(&there, &here);
    for (uint64_t i = 1; i <= kRounds; ++i) {
      const absl::StatusOr<uint64_t> word = bell.Wait(absl::Minutes(1));
      ASSERT_TRUE(word.ok()) << word.status();
      // Now and then slower than the other end cares to look.
      for (volatile uint64_t j = 0; i % 64 == 0 && j < 50000;) j = j + 1;
      bell.Ring(*word + 1);
    }
  });
  MemoryBell bell(&here, &there);
  for (uint64_t i = 1; i <= kRounds; ++i) {
    bell.Ring(i * 3);
    const absl::StatusOr<uint64_t> word = bell.Wait(absl::Minutes(1));
    ASSERT_TRUE(word.ok()) << word.status();
    ASSERT_EQ(*word, i * 3 + 1);
  }
  echo.join();
}

TEST(MemoryBellTest, AWaiterGivesUpWhenNobodyRings) {
  BellPage here = {};
  const BellPage there = {};
  MemoryBell bell(&here, &there);
  EXPECT_EQ(bell.Wait(absl::Milliseconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(here.sleeping.load(), 0u);
}

}  // namespace
}  // namespace shmd::bench
