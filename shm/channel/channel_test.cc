// Publishers and subscribers of one process, by every rule but those of
// queues and calls.

#include <gtest/gtest.h>
#include <poll.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "shm/channel/wait_any.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::SlowPolicy;

const absl::Time kNow = absl::InfinitePast();

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

ChannelFields Small(uint32_t slots = 4, uint64_t payload_bytes = 8192) {
  ChannelFields fields;
  fields.slots = slots;
  fields.payload_bytes = payload_bytes;
  return fields;
}

std::unique_ptr<RingPublisher> Publisher(MadeChannel& channel) {
  return MadeChannel::Checked(RingPublisher::Open(channel.AddPublisher()));
}

std::unique_ptr<RingSubscriber> Subscriber(
    MadeChannel& channel, SlowPolicy policy = SlowPolicy::kBlock) {
  return MadeChannel::Checked(
      RingSubscriber::Open(channel.AddSubscriber(policy)));
}

absl::Status Send(RingPublisher& publisher, const std::string& text,
                  absl::Time deadline = kNow) {
  return publisher.Publish(text, {}, deadline).status();
}

std::string TextOf(const ReceivedMessage& message) {
  return std::string(message.data(), message.size_bytes());
}

// What is there, or the reason of the error, or nothing.
std::string Next(RingSubscriber& subscriber) {
  absl::StatusOr<std::optional<ReceivedMessage>> got = subscriber.TryReceive();
  if (!got.ok()) return GetErrorReason(got.status());
  return got->has_value() ? TextOf(**got) : "";
}

TEST(ChannelTest, MessagesArriveInOrderWithAllThatGoesWithThem) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  for (uint64_t i = 0; i < 50; ++i) {
    MessageOptions options;
    const std::string metadata = "about " + std::to_string(i);
    options.metadata = metadata;
    options.correlation = 7 * i;
    const std::string text = "message " + std::to_string(i);
    ASSERT_EQ(*publisher->Publish(text, options, kNow), i);
    auto got = subscriber->Receive(Soon());
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(TextOf(*got), text);
    EXPECT_EQ(std::string(got->metadata().data(), got->metadata().size()),
              metadata);
    EXPECT_EQ(got->number(), i);
    EXPECT_EQ(got->correlation(), 7 * i);
    EXPECT_EQ(got->publisher(), publisher->id());
    EXPECT_EQ(got->lost_before(), 0u);
    EXPECT_NEAR(static_cast<double>(got->publish_time_ns()),
                static_cast<double>(absl::ToUnixNanos(absl::Now())), 60e9);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(got->data()) % 64, 0u);
  }
  EXPECT_EQ(Next(*subscriber), "");
}

TEST(ChannelTest, LoansAreInTheRingAndReturnedWhenNotPublished) {
  MadeChannel channel(Small(4, 65536));
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  {
    auto large = publisher->Borrow(40000, kNow);
    ASSERT_TRUE(large.ok()) << large.status();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(large->data()) % 4096, 0u);
    EXPECT_EQ(GetErrorReason(publisher->Borrow(40000, kNow).status()),
              reason::kChannelBlocked);
  }
  auto again = publisher->Borrow(40000, kNow);
  ASSERT_TRUE(again.ok()) << again.status();
  std::memset(again->data(), 'x', 40000);
  again->Shrink(3);
  ASSERT_TRUE(publisher->Publish(*std::move(again)).ok());
  EXPECT_FALSE(again->valid());
  EXPECT_EQ(Next(*subscriber), "xxx");
  EXPECT_EQ(GetErrorReason(publisher->Publish(*std::move(again)).status()),
            reason::kFieldInvalid);
  // Loans have slots as well.
  std::vector<Loan> loans;
  for (int i = 0; i < 4; ++i) loans.push_back(*publisher->Borrow(1, kNow));
  EXPECT_EQ(GetErrorReason(publisher->Borrow(1, kNow).status()),
            reason::kChannelBlocked);
}

TEST(ChannelTest, VeryLargePlacesAreUsedAgainWhereThereIsTime) {
  constexpr uint64_t kLarge = 8 << 20;
  MadeChannel channel(Small(8, 4 * kLarge));
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  const char* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    auto loan = publisher->Borrow(kLarge, kNow);
    ASSERT_TRUE(loan.ok()) << loan.status();
    if (i == 0) first = loan->data();
    EXPECT_EQ(loan->data(), first);
    ASSERT_TRUE(publisher->Publish(*std::move(loan)).ok());
    EXPECT_TRUE(subscriber->Receive(Soon()).ok());
    // As long as it takes to fill them.
    absl::SleepFor(absl::Milliseconds(2));
  }
  // Not before.
  auto held = publisher->Borrow(kLarge, kNow);
  ASSERT_TRUE(publisher->Publish(*std::move(held)).ok());
  EXPECT_NE(publisher->Borrow(kLarge, kNow)->data(), first);
}

TEST(ChannelTest, SizesThatNeverFitAreRefusedInWords) {
  MadeChannel channel(Small());
  auto publisher = Publisher(channel);
  EXPECT_TRUE(publisher->Borrow(8192, kNow).ok());
  EXPECT_TRUE(publisher->Borrow(0, kNow).ok());
  const absl::Status refused = publisher->Borrow(8193, kNow).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorReason(refused), reason::kMessageTooLarge);
  EXPECT_EQ(GetErrorReason(publisher->Borrow(~uint64_t{0}, kNow, 9).status()),
            reason::kMessageTooLarge);
  EXPECT_EQ(GetErrorReason(publisher->Borrow(8190, kNow, 3).status()),
            reason::kMessageTooLarge);
  Loan loan = *publisher->Borrow(60, kNow);
  MessageOptions options;
  const std::string five = "five!";
  options.metadata = five;
  EXPECT_EQ(
      GetErrorReason(publisher->Publish(std::move(loan), options).status()),
      reason::kMessageTooLarge);
  options.metadata = absl::MakeConstSpan(five).first(4);
  EXPECT_TRUE(publisher->Publish(std::move(loan), options).ok());
}

TEST(ChannelTest, BlocksForWhoIsToBeWaitedFor) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Send(*publisher, "m").ok());
  const absl::Status blocked =
      Send(*publisher, "m", absl::Now() + absl::Milliseconds(5));
  EXPECT_EQ(blocked.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetErrorReason(blocked), reason::kChannelBlocked);
  {
    // Out of order: the first one is still held.
    auto first = *subscriber->Receive(kNow);
    auto second = *subscriber->Receive(kNow);
    second.Release();
    EXPECT_EQ(GetErrorReason(Send(*publisher, "m")), reason::kChannelBlocked);
  }
  EXPECT_TRUE(Send(*publisher, "m").ok());
  EXPECT_TRUE(Send(*publisher, "m").ok());
  EXPECT_EQ(GetErrorReason(Send(*publisher, "m")), reason::kChannelBlocked);
  // Who has left is not waited for.
  channel.Remove(MemberKind::kSubscriber, subscriber->id().index,
                 subscriber->id().generation);
  EXPECT_TRUE(Send(*publisher, "m").ok());
  EXPECT_EQ(Next(*subscriber), reason::kMemberNotFound);
}

TEST(ChannelTest, SleepersAreWoken) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  constexpr int kMessages = 2000;
  std::thread reader([&] {
    for (int i = 0; i < kMessages; ++i) {
      auto got = subscriber->Receive(Soon());
      ASSERT_TRUE(got.ok()) << got.status() << " at " << i;
      ASSERT_EQ(TextOf(*got), std::to_string(i));
      if (i % 97 == 0) absl::SleepFor(absl::Microseconds(200));
    }
  });
  for (int i = 0; i < kMessages; ++i) {
    const absl::Status sent = Send(*publisher, std::to_string(i), Soon());
    EXPECT_TRUE(sent.ok()) << sent << " at " << i;
    if (!sent.ok()) break;
    if (i % 89 == 0) absl::SleepFor(absl::Microseconds(200));
  }
  reader.join();
}

TEST(ChannelTest, DropOldestLosesTheOldestAndSaysHowMany) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel, SlowPolicy::kDropOldest);
  auto publisher = Publisher(channel);
  ASSERT_TRUE(Send(*publisher, "0").ok());
  auto held = *subscriber->Receive(kNow);
  for (int i = 1; i < 11; ++i) {
    ASSERT_TRUE(Send(*publisher, std::to_string(i)).ok());
  }
  auto got = *subscriber->Receive(kNow);
  EXPECT_EQ(TextOf(got), "7");
  EXPECT_EQ(got.lost_before(), 6u);
  EXPECT_EQ(subscriber->lost(), 6u);
  // What is held is not written over.
  EXPECT_EQ(TextOf(held), "0");
  auto next = *subscriber->Receive(kNow);
  EXPECT_EQ(TextOf(next), "8");
  EXPECT_EQ(next.lost_before(), 0u);
}

TEST(ChannelTest, PlacesThatAreHeldAreSetAside) {
  MadeChannel channel(Small(8, 8192));
  auto subscriber = Subscriber(channel, SlowPolicy::kDropOldest);
  auto publisher = Publisher(channel);
  const std::string half(4096, 'a');
  ASSERT_TRUE(Send(*publisher, half).ok());
  auto held = *subscriber->Receive(kNow);
  const std::string other(4096, 'b');
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Send(*publisher, other).ok());
  EXPECT_EQ(TextOf(held), half);
  auto last = *subscriber->Receive(kNow);
  EXPECT_EQ(TextOf(last), other);
  EXPECT_EQ(last.lost_before(), 4u);
  // Both halves are held now: not even who is not waited for can be robbed.
  EXPECT_EQ(GetErrorReason(Send(*publisher, other)), reason::kChannelBlocked);
  std::thread releaser([&] {
    absl::SleepFor(absl::Milliseconds(5));
    held.Release();
  });
  EXPECT_TRUE(Send(*publisher, other, Soon()).ok());
  releaser.join();
  EXPECT_EQ(TextOf(last), other);
}

TEST(ChannelTest, PinsAreLimited) {
  MadeChannel channel(Small(1024, 1 << 20));
  auto subscriber = Subscriber(channel, SlowPolicy::kDropOldest);
  auto publisher = Publisher(channel);
  for (int i = 0; i < 600; ++i) ASSERT_TRUE(Send(*publisher, "m").ok());
  auto all = *subscriber->ReceiveAll(1000);
  EXPECT_EQ(all.size(), layout::kReaderPins);
  EXPECT_EQ(Next(*subscriber), reason::kMessagesHeld);
  all.pop_back();
  EXPECT_EQ(Next(*subscriber), "m");
}

TEST(ChannelTest, CutsOffWhoDoesNotKeepUp) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel, SlowPolicy::kCutOff);
  auto other = Subscriber(channel, SlowPolicy::kDropOldest);
  auto publisher = Publisher(channel);
  ASSERT_TRUE(Send(*publisher, "0").ok());
  auto held = *subscriber->Receive(kNow);
  for (int i = 1; i < 4; ++i) {
    ASSERT_TRUE(Send(*publisher, std::to_string(i)).ok());
  }
  EXPECT_EQ(Next(*subscriber), "1");
  for (int i = 4; i < 30; ++i) {
    ASSERT_TRUE(Send(*publisher, std::to_string(i)).ok());
  }
  EXPECT_EQ(Next(*subscriber), reason::kCutOff);
  EXPECT_EQ(Next(*subscriber), reason::kCutOff);
  EXPECT_EQ(TextOf(held), "0");
  EXPECT_EQ(Next(*other), "26");
}

TEST(ChannelTest, WhoComesLateGetsTheHistory) {
  ChannelFields fields = Small(8, 65536);
  fields.history = 3;
  MadeChannel channel(fields);
  auto publisher = Publisher(channel);
  auto early = Subscriber(channel);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Send(*publisher, std::to_string(i)).ok());
    ASSERT_EQ(Next(*early), std::to_string(i));
  }
  auto late = Subscriber(channel);
  for (int i = 17; i < 20; ++i) EXPECT_EQ(Next(*late), std::to_string(i));
  EXPECT_EQ(Next(*late), "");
  EXPECT_EQ(late->lost(), 0u);
  // A publisher that comes after a subscriber is read from its first message,
  // and waits for that.
  auto second = Publisher(channel);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(Send(*second, "s").ok());
  EXPECT_EQ(GetErrorReason(Send(*second, "s")), reason::kChannelBlocked);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Next(*late), "s");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Next(*early), "s");
  EXPECT_TRUE(Send(*second, "s").ok());
}

TEST(ChannelTest, ManyPublishersAndSubscribers) {
  MadeChannel channel(Small(16, 65536));
  std::vector<std::unique_ptr<RingSubscriber>> subscribers;
  for (int i = 0; i < 5; ++i) subscribers.push_back(Subscriber(channel));
  std::vector<std::unique_ptr<RingPublisher>> publishers;
  for (int i = 0; i < 7; ++i) publishers.push_back(Publisher(channel));
  for (int round = 0; round < 40; ++round) {
    for (auto& publisher : publishers) {
      ASSERT_TRUE(Send(*publisher, std::to_string(round)).ok());
    }
    for (auto& subscriber : subscribers) {
      uint64_t seen = 0;
      for (size_t i = 0; i < publishers.size(); ++i) {
        auto got = *subscriber->Receive(kNow);
        EXPECT_EQ(TextOf(got), std::to_string(round));
        seen |= uint64_t{1} << got.publisher().index;
      }
      EXPECT_EQ(seen, (uint64_t{1} << publishers.size()) - 1);
      EXPECT_EQ(Next(*subscriber), "");
    }
  }
}

TEST(ChannelTest, ABatchIsSeenAtOnce) {
  MadeChannel channel(Small(8, 65536));
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  std::vector<OutgoingMessage> messages(5);
  const std::string one = "one";
  for (auto& message : messages) message.payload = one;
  EXPECT_EQ(*publisher->PublishAll(messages, kNow), 5u);
  // No room for all: as many as there is.
  EXPECT_EQ(*publisher->PublishAll(messages, kNow), 3u);
  EXPECT_EQ(GetErrorReason(publisher->PublishAll(messages, kNow).status()),
            reason::kChannelBlocked);
  EXPECT_EQ(subscriber->ReceiveAll(100)->size(), 8u);
  std::vector<Loan> loans;
  for (int i = 0; i < 4; ++i) {
    loans.push_back(*publisher->Borrow(1, kNow));
    loans.back().data()[0] = static_cast<char>('a' + i);
  }
  EXPECT_EQ(*publisher->PublishAll(absl::MakeSpan(loans)), 8u);
  for (const char* text : {"a", "b", "c", "d"}) {
    EXPECT_EQ(Next(*subscriber), text);
  }
}

TEST(ChannelTest, ForOneSubscriberOnly) {
  MadeChannel channel(Small());
  auto first = Subscriber(channel);
  auto second = Subscriber(channel);
  auto publisher = Publisher(channel);
  MessageOptions options;
  options.to = second->id().generation;
  const std::string secret = "secret";
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(publisher->Publish(secret, options, kNow).ok());
  }
  ASSERT_TRUE(Send(*publisher, "open").ok());
  EXPECT_EQ(Next(*first), "open");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Next(*second), "secret");
  EXPECT_EQ(Next(*second), "open");
  EXPECT_TRUE(Send(*publisher, "more").ok());
}

TEST(ChannelTest, DamageIsTold) {
  ChannelFields fields = Small(8, 65536);
  fields.checksums = true;
  MadeChannel channel(fields);
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  Loan loan = *publisher->Borrow(3, kNow);
  char* const data = loan.data();
  std::memcpy(data, "abc", 3);
  ASSERT_TRUE(publisher->Publish(std::move(loan)).ok());
  ASSERT_TRUE(Send(*publisher, "after").ok());
  data[1] ^= 1;
  const absl::Status damaged = subscriber->TryReceive().status();
  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(GetErrorReason(damaged), reason::kMessageDamaged);
  EXPECT_EQ(GetErrorDetail(damaged).metadata.at("number"), "0");
  EXPECT_EQ(Next(*subscriber), "after");
}

TEST(ChannelTest, WhatWasPublishedIsReadAfterItsPublisherHasGone) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  ASSERT_EQ(Next(*subscriber), "");
  ASSERT_TRUE(Send(*publisher, "last words").ok());
  channel.Remove(MemberKind::kPublisher, publisher->id().index,
                 publisher->id().generation);
  EXPECT_EQ(GetErrorReason(Send(*publisher, "m")), reason::kMemberNotFound);
  // Another one in its place.
  auto next = Publisher(channel);
  ASSERT_EQ(next->id().index, 0u);
  ASSERT_TRUE(Send(*next, "hello").ok());
  std::vector<std::string> got = {Next(*subscriber), Next(*subscriber)};
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (std::vector<std::string>{"hello", "last words"}));
  EXPECT_EQ(Next(*subscriber), "");
  EXPECT_EQ(subscriber->publisher_count(), 1u);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Send(*next, "m").ok());
    ASSERT_EQ(Next(*subscriber), "m");
  }
}

TEST(ChannelTest, ClosedChannelsSaySo) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  ASSERT_TRUE(Send(*publisher, "m").ok());
  std::thread closer([&] {
    absl::SleepFor(absl::Milliseconds(5));
    channel.writer().Close();
  });
  EXPECT_EQ(TextOf(*subscriber->Receive(Soon())), "m");
  EXPECT_EQ(GetErrorReason(subscriber->Receive(Soon()).status()),
            reason::kChannelClosed);
  closer.join();
  EXPECT_EQ(GetErrorReason(publisher->Check()), reason::kChannelClosed);
  EXPECT_EQ(GetErrorReason(publisher->Borrow(1, kNow).status()),
            reason::kChannelClosed);
  EXPECT_EQ(
      GetErrorReason(channel.writer().Reserve(MemberKind::kPublisher).status()),
      reason::kChannelClosed);
}

TEST(ChannelTest, DeadlinesOfReceive) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  const absl::Time begin = absl::Now();
  const absl::Status none =
      subscriber->Receive(begin + absl::Milliseconds(20)).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetErrorReason(none), reason::kNoMessage);
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(20));
}

// With each look a message comes that is for others.
struct BusyMemory : layout::HostMemory {
  static inline RingPublisher* publisher = nullptr;

  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    if (publisher != nullptr) {
      MessageOptions options;
      options.to = ~uint64_t{0};
      EXPECT_TRUE(
          publisher->Publish(absl::string_view("x"), options, kNow).ok());
    }
    return layout::HostMemory::Load(word, order);
  }
};

TEST(ChannelTest, MessagesForOthersPutNoDeadlineOff) {
  MadeChannel channel(Small());
  auto subscriber = MadeChannel::Checked(BasicRingSubscriber<BusyMemory>::Open(
      channel.AddSubscriber(SlowPolicy::kDropOldest)));
  auto publisher = Publisher(channel);
  ASSERT_TRUE(subscriber->Check().ok());
  BusyMemory::publisher = publisher.get();
  const absl::Time deadline = absl::Now() + absl::Milliseconds(20);
  EXPECT_EQ(GetErrorReason(subscriber->Receive(deadline).status()),
            reason::kNoMessage);
  EXPECT_EQ(GetErrorReason(subscriber->ReceiveAll(2, deadline).status()),
            reason::kNoMessage);
  BusyMemory::publisher = nullptr;
  EXPECT_GE(absl::Now(), deadline);
}

bool IsReadable(int fd) {
  pollfd poll_for = {fd, POLLIN, 0};
  return poll(&poll_for, 1, 0) == 1;
}

TEST(ChannelTest, DescriptorIsReadableWhenThereIsSomething) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  const int fd = *subscriber->Descriptor();
  ASSERT_TRUE(Send(*publisher, "0").ok());
  EXPECT_FALSE(subscriber->Arm());
  EXPECT_EQ(Next(*subscriber), "0");
  EXPECT_TRUE(subscriber->Arm());
  EXPECT_FALSE(IsReadable(fd));
  ASSERT_TRUE(Send(*publisher, "1").ok());
  ASSERT_TRUE(Send(*publisher, "2").ok());
  EXPECT_TRUE(IsReadable(fd));
  subscriber->Disarm();
  EXPECT_FALSE(IsReadable(fd));
  EXPECT_EQ(Next(*subscriber), "1");
  EXPECT_EQ(Next(*subscriber), "2");
  // Nobody rings while it is awake.
  ASSERT_TRUE(Send(*publisher, "3").ok());
  EXPECT_FALSE(IsReadable(fd));
}

TEST(ChannelTest, WhoWasSlowGetsTheLastMessagesOfWhoHasLeft) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel, SlowPolicy::kDropOldest);
  auto publisher = Publisher(channel);
  ASSERT_EQ(Next(*subscriber), "");
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Send(*publisher, std::to_string(i)).ok());
  }
  channel.Remove(MemberKind::kPublisher, publisher->id().index,
                 publisher->id().generation);
  for (int i = 996; i < 1000; ++i) {
    EXPECT_EQ(Next(*subscriber), std::to_string(i));
  }
  EXPECT_EQ(Next(*subscriber), "");
  EXPECT_EQ(subscriber->publisher_count(), 0u);
}

// The daemon is away for a while, say.
struct RefusedBellTest : testing::Test {
  RefusedBellTest() {
    EXPECT_EQ(Next(*subscriber), "");
    EXPECT_TRUE(subscriber->Arm());
    channel.Refuse(PartKind::kBell, true);
  }
  void Allow() { channel.Refuse(PartKind::kBell, false); }

  MadeChannel channel{Small(64)};
  std::unique_ptr<RingSubscriber> subscriber = Subscriber(channel);
  std::unique_ptr<RingPublisher> publisher = Publisher(channel);
  const int fd = *subscriber->Descriptor();
};

TEST_F(RefusedBellTest, ALaterMessageRings) {
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Send(*publisher, "m").ok());
  EXPECT_FALSE(IsReadable(fd));
  Allow();
  absl::SleepFor(2 * kPartRetryAfter);
  ASSERT_TRUE(Send(*publisher, "m").ok());
  EXPECT_TRUE(IsReadable(fd));
}

TEST_F(RefusedBellTest, IsNotAskedForWithEachMessage) {
  const uint64_t before = channel.asked();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(Send(*publisher, "m").ok());
  EXPECT_LT(channel.asked(), before + 40);
}

TEST_F(RefusedBellTest, WhoWaitsForReadersRings) {
  ASSERT_TRUE(Send(*publisher, "m").ok());
  Allow();
  const absl::Time give_up = Soon();
  while (!IsReadable(fd) && absl::Now() < give_up) {
    EXPECT_EQ(
        GetErrorReason(publisher->Drain(absl::Now() + absl::Milliseconds(10))),
        reason::kChannelBlocked);
  }
  EXPECT_TRUE(IsReadable(fd));
}

TEST_F(RefusedBellTest, WhoWaitsForLongRingsMeanwhile) {
  ASSERT_TRUE(Send(*publisher, "m").ok());
  Allow();
  std::thread reader([this] {
    pollfd wanted = {fd, POLLIN, 0};
    EXPECT_EQ(poll(&wanted, 1, 20000), 1);
    subscriber->Disarm();
    EXPECT_TRUE(subscriber->Receive(kNow).ok());
  });
  EXPECT_TRUE(publisher->Drain(Soon()).ok());
  reader.join();
}

TEST_F(RefusedBellTest, ANewRunOfTheDaemonIsAskedAtOnce) {
  ASSERT_TRUE(Send(*publisher, "m").ok());
  Allow();
  // It says so on the page.
  ASSERT_TRUE(ChannelWriter::Open(channel.page_fd()).ok());
  ASSERT_TRUE(publisher->Check().ok());
  EXPECT_TRUE(IsReadable(fd));
}

TEST(ChannelTest, WaitsForManyChannels) {
  MadeChannel one(Small());
  MadeChannel two(Small());
  auto first = Subscriber(one);
  auto second = Subscriber(two);
  auto publisher = Publisher(two);
  RingSubscriber* const both[] = {first.get(), second.get()};
  ASSERT_EQ(Next(*second), "");
  EXPECT_EQ(GetErrorReason(
                WaitAny(both, absl::Now() + absl::Milliseconds(5)).status()),
            reason::kNoMessage);
  std::thread sender([&] {
    absl::SleepFor(absl::Milliseconds(5));
    ASSERT_TRUE(Send(*publisher, "m").ok());
  });
  const absl::StatusOr<size_t> ready = WaitAny(both, Soon());
  sender.join();
  ASSERT_TRUE(ready.ok()) << ready.status();
  EXPECT_EQ(*ready, 1u);
  EXPECT_EQ(Next(*second), "m");
  std::vector<RingSubscriber*> many(65, second.get());
  EXPECT_EQ(GetErrorReason(WaitAny(many, Soon()).status()),
            reason::kWaitLimitExceeded);
}

TEST(ChannelTest, WhoWaitsForManyChannelsAsksAgainForWhatWasRefused) {
  MadeChannel one(Small());
  MadeChannel two(Small());
  auto first = Subscriber(one);
  auto second = Subscriber(two);
  RingSubscriber* const both[] = {first.get(), second.get()};
  two.Refuse(PartKind::kRing, true);
  auto publisher = Publisher(two);
  ASSERT_EQ(Next(*second), "");
  ASSERT_TRUE(Send(*publisher, "m").ok());
  two.Refuse(PartKind::kRing, false);
  const absl::StatusOr<size_t> ready = WaitAny(both, Soon());
  ASSERT_TRUE(ready.ok()) << ready.status();
  EXPECT_EQ(*ready, 1u);
  EXPECT_EQ(Next(*second), "m");
}

TEST(ChannelTest, LargeMessagesUseWarmMemoryAgain) {
  MadeChannel channel(Small(64, 64 << 20));
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  std::set<const char*> places;
  for (int i = 0; i < 40; ++i) {
    Loan loan = *publisher->Borrow(1 << 20, kNow);
    places.insert(loan.data());
    ASSERT_TRUE(publisher->Publish(std::move(loan)).ok());
    EXPECT_TRUE(subscriber->Receive(kNow).ok());
  }
  EXPECT_LE(places.size(), 8u);
}

TEST(ChannelTest, DaemonIsAskedOnlyWhenSomebodyJoins) {
  MadeChannel channel(Small());
  auto subscriber = Subscriber(channel);
  auto publisher = Publisher(channel);
  ASSERT_EQ(Next(*subscriber), "");
  const uint64_t asked = channel.asked();
  EXPECT_EQ(asked, 2u);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Send(*publisher, "m").ok());
    ASSERT_EQ(Next(*subscriber), "m");
  }
  EXPECT_EQ(channel.asked(), asked);
}

}  // namespace
}  // namespace shmd
