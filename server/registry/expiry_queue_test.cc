#include "server/registry/expiry_queue.h"

#include <thread>

#include "base/clock.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

class ExpiryQueueTest : public ::testing::Test {
 protected:
  std::vector<Uid> Due() { return queue_.TakeDue(clock_.SinceBoot()); }
  void SetIn(const Uid& uid, absl::Duration time) {
    queue_.Set(uid, clock_.SinceBoot() + time);
  }

  FakeClock clock_;
  ExpiryQueue queue_;
  const Uid a_ = RandomUid();
  const Uid b_ = RandomUid();
};

TEST_F(ExpiryQueueTest, GivesOutEachOnceFromItsEndOn) {
  SetIn(a_, absl::Seconds(2));
  SetIn(b_, absl::Seconds(1));
  EXPECT_TRUE(Due().empty());
  clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_TRUE(Due().empty());
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(Due(), std::vector<Uid>{b_});
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Due(), std::vector<Uid>{a_});
  EXPECT_TRUE(Due().empty());
}

TEST_F(ExpiryQueueTest, EarlierEndsComeFirst) {
  SetIn(a_, absl::Seconds(2));
  SetIn(b_, absl::Seconds(1));
  clock_.Advance(absl::Seconds(3));
  EXPECT_EQ(Due(), (std::vector<Uid>{b_, a_}));
}

TEST_F(ExpiryQueueTest, EndCanBeMovedAndCleared) {
  SetIn(a_, absl::Seconds(1));
  SetIn(b_, absl::Seconds(1));
  SetIn(a_, absl::Seconds(5));
  queue_.Set(b_, absl::InfiniteDuration());
  clock_.Advance(absl::Seconds(2));
  EXPECT_TRUE(Due().empty());
  SetIn(a_, absl::ZeroDuration());
  EXPECT_EQ(Due(), std::vector<Uid>{a_});
}

TEST_F(ExpiryQueueTest, TwoMayEndAtTheSameMoment) {
  SetIn(a_, absl::Seconds(1));
  SetIn(b_, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Due().size(), 2u);
}

TEST_F(ExpiryQueueTest, JumpOfTheWallClockChangesNothing) {
  SetIn(a_, absl::Seconds(1));
  clock_.JumpWallTime(absl::Hours(1000));
  EXPECT_TRUE(Due().empty());
}

TEST_F(ExpiryQueueTest, WaiterIsWokenByAnEarlierEnd) {
  SetIn(a_, absl::Hours(1));
  std::thread setter([this] { SetIn(b_, absl::ZeroDuration()); });
  // Would be a minute without the wake-up, and then another.
  while (Due().empty()) queue_.WaitForNext(clock_.SinceBoot());
  setter.join();
}

TEST_F(ExpiryQueueTest, WakeEndsTheNextWait) {
  queue_.Wake();
  queue_.WaitForNext(clock_.SinceBoot());
  std::thread waker([this] { queue_.Wake(); });
  queue_.WaitForNext(clock_.SinceBoot());
  waker.join();
}

}  // namespace
}  // namespace shmd
