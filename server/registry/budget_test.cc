#include "server/registry/budget.h"

#include <cstdint>

#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Budget::Use Use(uint64_t memory_bytes, uint64_t bytes, uint64_t segments,
                uint64_t descriptors) {
  Budget::Use use;
  use.memory_bytes = memory_bytes;
  use.bytes = bytes;
  use.segments = segments;
  use.descriptors = descriptors;
  return use;
}

Budget::Limits Limits() {
  Budget::Limits limits;
  limits.memory_bytes = 100;
  limits.memory_descriptors = 2;
  return limits;
}

TEST(BudgetTest, TakesUpToEachLimitAndNotOneMore) {
  const struct {
    Budget::Use most, one;
    const char* reason;
  } kCases[] = {
      {Use(100, 0, 0, 0), Use(1, 0, 0, 0), "BUDGET_EXCEEDED"},
      {Use(0, 0, 0, 2), Use(0, 0, 0, 1), "DESCRIPTORS_EXHAUSTED"},
  };
  for (const auto& one : kCases) {
    SCOPED_TRACE(one.reason);
    Budget budget(Limits());
    EXPECT_TRUE(budget.Take(one.most).ok());
    const absl::Status refused = budget.Take(one.one);
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(GetErrorReason(refused), one.reason);
    budget.GiveBack(one.one);
    EXPECT_TRUE(budget.Take(one.one).ok());
  }
}

TEST(BudgetTest, RefusalTellsWhatIsLeftAndTakesNothing) {
  Budget budget(Limits());
  ASSERT_TRUE(budget.Take(Use(60, 60, 1, 1)).ok());
  // Memory would do; descriptors do not.
  const absl::Status refused = budget.Take(Use(10, 10, 1, 2));
  const auto metadata = GetErrorDetail(refused).metadata;
  EXPECT_EQ(metadata.at("requested"), "2");
  EXPECT_EQ(metadata.at("available"), "1");
  EXPECT_EQ(metadata.at("limit_value"), "2");
  EXPECT_EQ(budget.used().memory_bytes, 60u);
  EXPECT_EQ(budget.used().bytes, 60u);
  EXPECT_EQ(budget.used().segments, 1u);
  EXPECT_EQ(budget.used().descriptors, 1u);
}

TEST(BudgetTest, SumsNeverWrap) {
  Budget::Limits limits = Limits();
  limits.memory_bytes = UINT64_MAX;
  Budget budget(limits);
  ASSERT_TRUE(budget.Take(Use(UINT64_MAX - 1, UINT64_MAX - 1, 0, 0)).ok());
  EXPECT_FALSE(budget.Take(Use(2, 0, 0, 0)).ok());
  EXPECT_FALSE(budget.Take(Use(UINT64_MAX, 0, 0, 0)).ok());
  EXPECT_TRUE(budget.Take(Use(1, 1, 0, 0)).ok());
}

TEST(BudgetTest, WhatExistsAlreadyCountsAlthoughItIsTooMuch) {
  Budget budget(Limits());
  budget.TakeAnyway(Use(300, 300, 1, 0));
  EXPECT_EQ(budget.used().memory_bytes, 300u);
  const absl::Status refused = budget.Take(Use(1, 1, 1, 0));
  EXPECT_EQ(GetErrorDetail(refused).metadata.at("available"), "0");
  budget.GiveBack(Use(250, 250, 1, 0));
  EXPECT_TRUE(budget.Take(Use(50, 50, 1, 0)).ok());
}

}  // namespace
}  // namespace shmd
