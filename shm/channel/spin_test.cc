#include "shm/channel/spin.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "shm/layout/memory_word.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

constexpr uint64_t kMostNs = 50'000;
constexpr uint64_t kTurnNs = 50;

// Time is what the test says: a turn takes some, a sleep until what is waited
// for, and who is asleep takes longer.
struct FakeWait {
  static constexpr uint64_t kWakeNs = 20'000;

  static bool Any(absl::Span<const sys::FutexWord>, const Deadline&) {
    ++sleeps;
    if (now_ns < comes_ns) now_ns = comes_ns;
    now_ns += kWakeNs;
    Come();
    return true;
  }
  static void Wake(const uint32_t*) {}
  static uint64_t RecentNs() { return now_ns; }
  static uint64_t NowNs() { return now_ns; }
  static bool CanSpin() { return can_spin; }
  static void Pause() {
    now_ns += kTurnNs;
    spun_ns += kTurnNs;
    if (now_ns >= comes_ns) Come();
  }

  // From now on.
  static void ComesAfter(uint64_t ns) { comes_ns = now_ns + ns; }
  static void Come() {
    if (come != nullptr) std::exchange(come, nullptr)();
  }
  static void Reset() {
    now_ns = 1;
    comes_ns = 0;
    spun_ns = 0;
    sleeps = 0;
    can_spin = true;
    come = nullptr;
  }

  static inline uint64_t now_ns;
  static inline uint64_t comes_ns;
  static inline uint64_t spun_ns;
  static inline uint64_t sleeps;
  static inline bool can_spin;
  static inline std::function<void()> come;
};

class SpinTest : public testing::Test {
 protected:
  SpinTest() { FakeWait::Reset(); }

  // Waits `times` for what comes after `ns`; how often that slept.
  uint64_t Wait(int times, uint64_t ns) {
    const uint64_t before = FakeWait::sleeps;
    for (int i = 0; i < times; ++i) {
      FakeWait::ComesAfter(ns);
      const auto is_there = [] {
        return FakeWait::now_ns >= FakeWait::comes_ns;
      };
      if (spin_.Until(is_there)) continue;
      FakeWait::Any({}, absl::InfiniteFuture());
      spin_.Slept();
    }
    return FakeWait::sleeps - before;
  }
  // The same where nothing comes before the waiter sleeps, but soon then.
  uint64_t WaitInVain(int times) {
    const uint64_t before = FakeWait::spun_ns;
    for (int i = 0; i < times; ++i) {
      if (spin_.Until([] { return false; })) ADD_FAILURE();
      FakeWait::now_ns += 5000;
      spin_.Slept();
    }
    return FakeWait::spun_ns - before;
  }

  BasicSpin<FakeWait> spin_;
};

TEST_F(SpinTest, SpinsForWhatComesWithinTheBound) {
  EXPECT_EQ(Wait(1000, 100), 0u);
  // Longer waits than before are in vain at first.
  EXPECT_LE(Wait(100, 25'000), 8u);
  EXPECT_EQ(Wait(1000, 25'000), 0u);
}

TEST_F(SpinTest, NeverSpinsForLongerThanTheBound) {
  // Some turns go between two looks at the clock.
  constexpr uint64_t kSlackNs = 100 * kTurnNs;
  for (const uint64_t most_ns : {uint64_t{5000}, kMostNs}) {
    spin_.set_most_ns(most_ns);
    for (uint64_t ns = 100; ns < 20 * most_ns; ns += 777) {
      const uint64_t before = FakeWait::spun_ns;
      Wait(1, ns);
      ASSERT_LE(FakeWait::spun_ns - before, most_ns + kSlackNs) << ns;
    }
  }
}

TEST_F(SpinTest, SleepsAtOnceWhereWaitsAreLong) {
  Wait(10, 10'000'000);
  const uint64_t before = FakeWait::spun_ns;
  EXPECT_EQ(Wait(1000, 10'000'000), 1000u);
  EXPECT_EQ(FakeWait::spun_ns, before);
  // And spins again when they are not.
  Wait(50, 10'000);
  EXPECT_EQ(Wait(1000, 10'000), 0u);
}

TEST_F(SpinTest, OneLongWaitChangesLittle) {
  Wait(100, 10'000);
  Wait(1, 10'000'000);
  EXPECT_LE(Wait(100, 10'000), 4u);
}

TEST_F(SpinTest, WhatIsInVainIsTriedLessAndLess) {
  WaitInVain(10'000);
  // As if two threads shared one processor: a thousandth of the time.
  EXPECT_LE(WaitInVain(10 * (SpinEstimate::kMostPaused + 1)),
            11 * (kMostNs + 100 * kTurnNs));
  EXPECT_GT(WaitInVain(2 * (SpinEstimate::kMostPaused + 1)), 0u);
  // When it pays again, that is found out.
  Wait(3 * (SpinEstimate::kMostPaused + 1), 10'000);
  EXPECT_LE(Wait(1000, 10'000), 0u);
}

TEST_F(SpinTest, ZeroAndOneProcessorSleepAtOnce) {
  spin_.set_most_ns(0);
  EXPECT_EQ(Wait(100, 100), 100u);
  spin_.set_most_ns(kMostNs);
  FakeWait::can_spin = false;
  EXPECT_EQ(Wait(100, 100), 100u);
  EXPECT_EQ(FakeWait::spun_ns, 0u);
}

TEST_F(SpinTest, BoundsAreBounded) {
  spin_.set_most_ns(~uint64_t{0});
  EXPECT_EQ(spin_.most_ns(), kMostSpinNs);
}

// Both ends of a channel that wait like this.
class SpinningEndsTest : public testing::Test {
 protected:
  using Publisher = BasicRingPublisher<layout::HostMemory, FakeWait>;
  using Subscriber = BasicRingSubscriber<layout::HostMemory, FakeWait>;

  SpinningEndsTest() {
    FakeWait::Reset();
    subscriber_ =
        MadeChannel::Checked(Subscriber::Open(channel_.AddSubscriber()));
    publisher_ = MadeChannel::Checked(Publisher::Open(channel_.AddPublisher()));
    MadeChannel::Check(subscriber_->Check());
  }

  static ChannelFields Fields() {
    ChannelFields fields;
    fields.slots = 2;
    fields.payload_bytes = 1 << 16;
    return fields;
  }
  void Publish() {
    EXPECT_TRUE(publisher_->Publish("m", {}, absl::InfinitePast()).ok());
  }

  MadeChannel channel_{Fields()};
  std::unique_ptr<Subscriber> subscriber_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(SpinningEndsTest, SubscriberSpinsForWhatComesSoon) {
  for (int i = 0; i < 100; ++i) {
    FakeWait::ComesAfter(20'000);
    FakeWait::come = [this] { Publish(); };
    ASSERT_TRUE(subscriber_->Receive(absl::InfiniteFuture()).ok());
  }
  EXPECT_EQ(FakeWait::sleeps, 0u);
  subscriber_->set_spin_ns(0);
  FakeWait::ComesAfter(20'000);
  FakeWait::come = [this] { Publish(); };
  ASSERT_TRUE(subscriber_->Receive(absl::InfiniteFuture()).ok());
  EXPECT_EQ(FakeWait::sleeps, 1u);
}

TEST_F(SpinningEndsTest, PublisherSpinsForRoomThatComesSoon) {
  Publish();
  Publish();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(GetErrorReason(
                  publisher_->Publish("m", {}, absl::InfinitePast()).status()),
              reason::kChannelBlocked);
    FakeWait::ComesAfter(20'000);
    FakeWait::come = [this] { EXPECT_TRUE(subscriber_->TryReceive().ok()); };
    ASSERT_TRUE(publisher_->Publish("m", {}, absl::InfiniteFuture()).ok());
  }
  EXPECT_EQ(FakeWait::sleeps, 0u);
  publisher_->set_spin_ns(0);
  FakeWait::ComesAfter(20'000);
  FakeWait::come = [this] { EXPECT_TRUE(subscriber_->TryReceive().ok()); };
  ASSERT_TRUE(publisher_->Publish("m", {}, absl::InfiniteFuture()).ok());
  EXPECT_EQ(FakeWait::sleeps, 1u);
}

}  // namespace
}  // namespace shmd
