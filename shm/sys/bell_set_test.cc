#include "shm/sys/bell_set.h"

#include <poll.h>

#include <utility>

#include "gtest/gtest.h"
#include "shm/sys/bell_pipe.h"

namespace shmd::sys {
namespace {

class BellSetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto set = BellSet::Make();
    ASSERT_TRUE(set.ok()) << set.status();
    set_ = *std::move(set);
  }

  // A pipe of the set's; its other end.
  UniqueFd Add() {
    absl::StatusOr<BellPipe> pipe = CreateBellPipe();
    EXPECT_TRUE(pipe.ok() && set_->Add(std::move(pipe->read_end)).ok());
    return std::move(pipe->write_end);
  }

  bool IsReadable() const {
    pollfd event = {set_->descriptor(), POLLIN, 0};
    return poll(&event, 1, 0) == 1;
  }

  std::shared_ptr<BellSet> set_;
};

TEST_F(BellSetTest, IsReadableWhileAnyPipeIs) {
  const UniqueFd first = Add();
  EXPECT_FALSE(IsReadable());
  const UniqueFd second = Add();
  for (const UniqueFd* const one : {&first, &second}) {
    RingBellPipe(one->get());
    EXPECT_TRUE(IsReadable());
    set_->Drain();
    EXPECT_FALSE(IsReadable());
  }
}

TEST_F(BellSetTest, ForgetsAPipeThatNobodyCanRing) {
  UniqueFd first = Add();
  const UniqueFd second = Add();
  first.Reset();
  // Who sleeps looks, and sleeps again.
  EXPECT_TRUE(IsReadable());
  set_->Drain();
  EXPECT_FALSE(IsReadable());
  RingBellPipe(second.get());
  EXPECT_TRUE(IsReadable());
}

TEST_F(BellSetTest, WakesOnceAfterAWhile) {
  set_->WakeAfter(absl::Hours(1));
  set_->Drain();
  EXPECT_FALSE(IsReadable());
  set_->WakeAfter(absl::Milliseconds(1));
  pollfd event = {set_->descriptor(), POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 60'000), 1);
  set_->Drain();
  EXPECT_FALSE(IsReadable());
}

TEST_F(BellSetTest, IsReadableForGoodOnceItHasEnded) {
  const UniqueFd pipe = Add();
  set_->End();
  EXPECT_TRUE(IsReadable());
  set_->Drain();
  EXPECT_TRUE(IsReadable());
}

}  // namespace
}  // namespace shmd::sys
