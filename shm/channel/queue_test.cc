// Queues and calls, and what the daemon writes.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::MemberRole;
using layout::SlowPolicy;

const absl::Time kQueueNow = absl::InfinitePast();

absl::Time SoonEnough() { return absl::Now() + absl::Seconds(20); }

ChannelFields Fields(ChannelKind kind, uint32_t slots = 8) {
  ChannelFields fields;
  fields.kind = kind;
  fields.slots = slots;
  fields.payload_bytes = 65536;
  return fields;
}

struct QueueTest : testing::Test {
  std::unique_ptr<RingSubscriber> Consumer() {
    return MadeChannel::Checked(RingSubscriber::Open(channel.AddSubscriber()));
  }
  std::unique_ptr<RingPublisher> Publisher() {
    return MadeChannel::Checked(RingPublisher::Open(channel.AddPublisher()));
  }
  absl::Status Send(RingPublisher& publisher, const std::string& text,
                    absl::Time deadline = kQueueNow) {
    return publisher.Publish(text, {}, deadline).status();
  }
  void Leave(const RingSubscriber& consumer) {
    channel.Remove(MemberKind::kSubscriber, consumer.id().index,
                   consumer.id().generation);
  }

  MadeChannel channel{Fields(ChannelKind::kQueue)};
};

std::string QueueText(const ReceivedMessage& message) {
  return std::string(message.data(), message.size_bytes());
}

TEST_F(QueueTest, EachMessageGoesToOne) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(Send(*publisher, std::to_string(i)).ok()) << round;
    }
    EXPECT_EQ(GetErrorReason(Send(*publisher, "m")), reason::kChannelBlocked);
    for (int i = 0; i < 8; ++i) {
      auto got = *(i % 3 == 0 ? one : two)->Receive(kQueueNow);
      EXPECT_EQ(QueueText(got), std::to_string(i));
      EXPECT_TRUE(got.IsMine());
      EXPECT_TRUE(got.Acknowledge().ok());
      EXPECT_EQ(GetErrorReason(got.Acknowledge()), reason::kClaimLost);
    }
    EXPECT_FALSE(one->TryReceive()->has_value());
  }
}

TEST_F(QueueTest, WhatIsNotAcknowledgedIsGivenToAnother) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  ASSERT_TRUE(Send(*publisher, "0").ok());
  ASSERT_TRUE(Send(*publisher, "1").ok());
  {
    auto first = *one->Receive(kQueueNow);
    auto second = *two->Receive(kQueueNow);
    EXPECT_EQ(QueueText(second), "1");
    ASSERT_TRUE(second.Acknowledge().ok());
    EXPECT_FALSE(two->TryReceive()->has_value());
    // The destructor gives the first one back.
  }
  auto again = *two->Receive(kQueueNow);
  EXPECT_EQ(QueueText(again), "0");
  ASSERT_TRUE(again.GiveBack().ok());
  again = *one->Receive(kQueueNow);
  EXPECT_EQ(QueueText(again), "0");
  ASSERT_TRUE(again.Acknowledge().ok());
  EXPECT_FALSE(one->TryReceive()->has_value());
  EXPECT_FALSE(two->TryReceive()->has_value());
}

TEST_F(QueueTest, WhatWhoHasGoneHadIsGivenToAnother) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  ASSERT_TRUE(Send(*publisher, "m").ok());
  auto lost = *one->Receive(kQueueNow);
  std::thread leaver([&] {
    absl::SleepFor(absl::Milliseconds(5));
    Leave(*one);
  });
  auto got = two->Receive(SoonEnough());
  leaver.join();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(QueueText(*got), "m");
  EXPECT_EQ(GetErrorReason(lost.Acknowledge()), reason::kClaimLost);
  EXPECT_TRUE(got->Acknowledge().ok());
  EXPECT_EQ(GetErrorReason(one->TryReceive().status()),
            reason::kMemberNotFound);
}

TEST_F(QueueTest, FalseClaimsHoldNothingUp) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  ASSERT_TRUE(Send(*publisher, "m").ok());
  // In the name of somebody who has pinned nothing.
  auto claims = *MappedClaims::Map(
      channel.Part(PartKind::kClaims, publisher->id().generation).get(),
      publisher->id().generation, 8);
  claims.words()[0] = Claim::Word(0, layout::ClaimState::kClaimed, one->id());
  EXPECT_FALSE(two->TryReceive()->has_value());
  auto got = two->Receive(SoonEnough());
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(got->Acknowledge().ok());
}

TEST_F(QueueTest, WhatAPublisherLeavesBehindIsConsumed) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  ASSERT_TRUE(Send(*publisher, "0").ok());
  ASSERT_TRUE(Send(*publisher, "1").ok());
  auto first = *one->Receive(kQueueNow);
  channel.Remove(MemberKind::kPublisher, publisher->id().index,
                 publisher->id().generation);
  EXPECT_TRUE(two->Receive(kQueueNow)->Acknowledge().ok());
  EXPECT_FALSE(two->TryReceive()->has_value());
  ASSERT_TRUE(first.GiveBack().ok());
  auto again = two->Receive(SoonEnough());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(QueueText(*again), "0");
  EXPECT_TRUE(again->Acknowledge().ok());
  EXPECT_FALSE(two->TryReceive()->has_value());
  EXPECT_EQ(two->publisher_count(), 0u);
}

bool IsReadableNow(int fd) {
  pollfd poll_for = {fd, POLLIN, 0};
  return poll(&poll_for, 1, 0) == 1;
}

TEST_F(QueueTest, WhatIsGivenBackWakesWhoSleepsOnADescriptor) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  const int fd = *two->Descriptor();
  ASSERT_TRUE(Send(*publisher, "m").ok());
  for (int round = 0; round < 3; ++round) {
    auto got = *one->Receive(kQueueNow);
    EXPECT_FALSE(two->TryReceive()->has_value());
    ASSERT_TRUE(two->Arm());
    EXPECT_FALSE(IsReadableNow(fd));
    ASSERT_TRUE(got.GiveBack().ok());
    EXPECT_TRUE(IsReadableNow(fd));
    two->Disarm();
    EXPECT_TRUE(two->Receive(kQueueNow)->GiveBack().ok());
  }
}

TEST_F(QueueTest, ABellThatCouldNotBeHadIsRungLater) {
  auto publisher = Publisher();
  auto one = Consumer();
  auto two = Consumer();
  const int fd = *two->Descriptor();
  ASSERT_TRUE(Send(*publisher, "m").ok());
  auto got = *one->Receive(kQueueNow);
  EXPECT_FALSE(two->TryReceive()->has_value());
  ASSERT_TRUE(two->Arm());
  channel.Refuse(PartKind::kBell, true);
  ASSERT_TRUE(got.GiveBack().ok());
  EXPECT_FALSE(IsReadableNow(fd));
  channel.Refuse(PartKind::kBell, false);
  // While it waits for something else.
  got = *one->Receive(kQueueNow);
  const absl::Time give_up = SoonEnough();
  while (!IsReadableNow(fd) && absl::Now() < give_up) {
    EXPECT_FALSE(one->Receive(absl::Now() + absl::Milliseconds(10)).ok());
  }
  EXPECT_TRUE(IsReadableNow(fd));
}

TEST_F(QueueTest, ManyConsumersGetEachMessageOnce) {
  constexpr int kMessages = 3000;
  constexpr int kConsumers = 3;
  std::vector<std::unique_ptr<RingSubscriber>> consumers;
  for (int i = 0; i < kConsumers; ++i) consumers.push_back(Consumer());
  auto publisher = Publisher();
  std::atomic<int> left{kMessages};
  std::vector<std::vector<int>> got(kConsumers);
  std::vector<std::thread> threads;
  for (int i = 0; i < kConsumers; ++i) {
    threads.emplace_back([&, i] {
      while (left.load() > 0) {
        auto message =
            consumers[i]->Receive(absl::Now() + absl::Milliseconds(50));
        if (!message.ok()) continue;
        const int number = std::stoi(QueueText(*message));
        // Some are given back.
        if (number % 5 == 0 && got[i].size() % 2 == 0) {
          got[i].push_back(-1);
          continue;
        }
        if (!message->Acknowledge().ok()) continue;
        got[i].push_back(number);
        --left;
      }
    });
  }
  for (int i = 0; i < kMessages; ++i) {
    const absl::Status sent = Send(*publisher, std::to_string(i), SoonEnough());
    EXPECT_TRUE(sent.ok()) << sent;
    if (!sent.ok()) left.store(0);
    if (!sent.ok()) break;
  }
  for (std::thread& thread : threads) thread.join();
  std::multiset<int> all;
  for (const auto& numbers : got) {
    for (const int number : numbers) {
      if (number >= 0) all.insert(number);
    }
  }
  EXPECT_EQ(all.size(), static_cast<size_t>(kMessages));
  EXPECT_EQ(std::set<int>(all.begin(), all.end()).size(), all.size());
}

TEST(ChannelFormatTest, RefusesFieldsThatNoChannelHas) {
  const auto reason_of = [](auto change) {
    ChannelFields fields;
    change(fields);
    return GetErrorReason(CheckChannelFields(fields));
  };
  EXPECT_EQ(reason_of([](auto&) {}), "");
  EXPECT_EQ(reason_of([](auto& f) { f.kind = ChannelKind::kNone; }),
            reason::kFieldInvalid);
  EXPECT_EQ(reason_of([](auto& f) { f.slots = 3; }), reason::kFieldInvalid);
  EXPECT_EQ(reason_of([](auto& f) { f.slots = 1; }), reason::kFieldInvalid);
  EXPECT_EQ(reason_of([](auto& f) { f.slots = 131072; }),
            reason::kFieldInvalid);
  EXPECT_EQ(reason_of([](auto& f) { f.history = f.slots; }),
            reason::kFieldInvalid);
  EXPECT_EQ(reason_of([](auto& f) { f.payload_bytes = 4095; }),
            reason::kSizeInvalid);
}

TEST(ChannelFormatTest, RefusesPartsThatAreNone) {
  MadeChannel channel(Fields(ChannelKind::kQueue));
  const PublisherParts parts = channel.AddPublisher();
  const auto reason_of = [](const auto& mapped) {
    return GetErrorReason(mapped.status());
  };
  EXPECT_EQ(reason_of(MappedRing::Map(parts.ring.get(), parts.generation + 1,
                                      /*writable=*/false)),
            reason::kObjectUnsuitable);
  EXPECT_EQ(reason_of(MappedRing::Map(parts.claims.get(), parts.generation,
                                      /*writable=*/false)),
            reason::kObjectUnsuitable);
  EXPECT_EQ(reason_of(MappedClaims::Map(parts.claims.get(), parts.generation,
                                        /*slots=*/16)),
            reason::kObjectUnsuitable);
  EXPECT_EQ(reason_of(MappedReaderPage::Map(parts.ring.get(), parts.generation,
                                            /*writable=*/false)),
            reason::kObjectUnsuitable);
  // One that could shrink.
  UniqueFd unsealed(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), 1 << 20), 0);
  EXPECT_EQ(reason_of(MappedRing::Map(unsealed.get(), parts.generation,
                                      /*writable=*/false)),
            reason::kObjectUnsuitable);
  // A header that claims more than there is.
  auto ring = *MappedRing::Map(parts.ring.get(), parts.generation,
                               /*writable=*/true);
  const layout::RingHeader good = *ring.header();
  const auto map_again = [&] {
    return reason_of(MappedRing::Map(parts.ring.get(), parts.generation,
                                     /*writable=*/false));
  };
  ring.header()->size_bytes = good.size_bytes + 1;
  EXPECT_EQ(map_again(), reason::kObjectUnsuitable);
  *ring.header() = good;
  ring.header()->slots = 16;
  ring.header()->payload_offset = 4096;
  EXPECT_EQ(map_again(), reason::kObjectUnsuitable);
  *ring.header() = good;
  EXPECT_EQ(map_again(), "");
}

TEST(ChannelWriterTest, PageIsItsOwnRecord) {
  MadeChannel channel(Fields(ChannelKind::kPublish));
  ChannelWriter& writer = channel.writer();
  const MemberId id = *writer.Reserve(MemberKind::kSubscriber);
  EXPECT_FALSE(writer.Has(MemberKind::kSubscriber, id));
  MemberFields fields;
  fields.policy = SlowPolicy::kCutOff;
  fields.pid = 7;
  fields.uid = 8;
  fields.session[1] = 9;
  const uint32_t before = writer.view().change();
  writer.Add(MemberKind::kSubscriber, id, fields);
  EXPECT_NE(writer.view().change(), before);
  // The next run.
  ChannelWriter next = *ChannelWriter::Open(channel.page_fd());
  EXPECT_EQ(next.fields().slots, 8u);
  const std::vector<Member> members = next.List(MemberKind::kSubscriber);
  ASSERT_EQ(members.size(), 1u);
  EXPECT_EQ(members[0].id, id);
  EXPECT_EQ(members[0].fields.policy, SlowPolicy::kCutOff);
  EXPECT_EQ(members[0].fields.pid, 7);
  EXPECT_EQ(members[0].fields.uid, 8u);
  EXPECT_EQ(members[0].fields.session[1], 9u);
  EXPECT_FALSE(next.Remove(MemberKind::kPublisher, id));
  EXPECT_TRUE(next.Remove(MemberKind::kSubscriber, id));
  EXPECT_FALSE(next.Remove(MemberKind::kSubscriber, id));
  EXPECT_GT(next.Reserve(MemberKind::kPublisher)->generation, id.generation);
  EXPECT_TRUE(next.List(MemberKind::kSubscriber).empty());
}

TEST(ChannelWriterTest, HasNoRoomForMoreThan64) {
  MadeChannel channel(Fields(ChannelKind::kPublish));
  for (uint32_t i = 0; i < layout::kMaxPublishers; ++i) channel.AddPublisher();
  const absl::Status full =
      channel.writer().Reserve(MemberKind::kPublisher).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorReason(full), reason::kChannelFull);
  EXPECT_TRUE(channel.writer().Reserve(MemberKind::kSubscriber).ok());
}

}  // namespace
}  // namespace shmd
