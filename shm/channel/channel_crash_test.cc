// Processes that take part in a channel, one of which is killed after each
// store that it makes.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "shm/channel/crash_channel.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "shm/lane/dying_child.h"
#include "shm/lane/dying_memory.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::SlowPolicy;

using DyingPublisher = BasicRingPublisher<DyingMemory>;
using DyingSubscriber = BasicRingSubscriber<DyingMemory>;

constexpr uint64_t kMessages = 11;

std::string Text(uint64_t number) {
  return "message " + std::string(number * 100, 'x') + std::to_string(number);
}

template <typename Message>
bool IsText(const Message& message, uint64_t number) {
  return std::string(message.data(), message.size_bytes()) == Text(number);
}

// What one publisher's messages look like to one subscriber: in order, whole,
// each once.
struct Log {
  uint64_t next = 0;
  uint64_t lost = 0;

  void ReadAll(RingSubscriber& subscriber, uint32_t publisher) {
    for (;;) {
      auto got = subscriber.TryReceive();
      ASSERT_TRUE(got.ok()) << got.status();
      if (!got->has_value()) return;
      if ((*got)->publisher().index != publisher) continue;
      lost += (*got)->lost_before();
      next += (*got)->lost_before();
      ASSERT_EQ((*got)->number(), next);
      ASSERT_TRUE(IsText(**got, next));
      ++next;
    }
  }
};

TEST(ChannelCrashTest, PublisherDiesAfterEachOfItsStores) {
  bool made_all = false;
  uint64_t stores = 1;
  for (; !made_all && !HasFailure(); ++stores) {
    MadeChannel channel(SmallChannel(ChannelKind::kPublish));
    auto patient = MadeChannel::Checked(
        RingSubscriber::Open(channel.AddSubscriber(SlowPolicy::kBlock)));
    auto hasty = MadeChannel::Checked(
        RingSubscriber::Open(channel.AddSubscriber(SlowPolicy::kDropOldest)));
    PublisherParts parts = channel.AddPublisher();
    const MemberId dying = {parts.index, parts.generation};
    const auto ring = MadeChannel::Checked(MappedRing::Map(
        parts.ring.get(), parts.generation, /*writable=*/false));
    auto other =
        MadeChannel::Checked(RingPublisher::Open(channel.AddPublisher()));
    Child child(stores, [&] {
      auto publisher =
          MadeChannel::Checked(DyingPublisher::Open(std::move(parts)));
      for (uint64_t i = 0; i < kMessages; ++i) {
        const std::string text = Text(i);
        EXPECT_TRUE(publisher->Publish(text, {}, Soon()).ok());
      }
    });
    Log all, some;
    uint64_t rounds = 0;
    for (bool last = false; !last; ++rounds) {
      last = child.HasEnded();
      all.ReadAll(*patient, dying.index);
      if (rounds % 5 == 0) some.ReadAll(*hasty, dying.index);
      EXPECT_TRUE(other->Publish(Text(1), {}, Soon()).ok());
    }
    channel.Remove(MemberKind::kPublisher, dying.index, dying.generation);
    all.ReadAll(*patient, dying.index);
    some.ReadAll(*hasty, dying.index);
    made_all = child.EndedWell();
    EXPECT_TRUE(made_all || child.WasKilled());
    // At most the one that it had shown and not counted yet.
    const uint64_t published = ring.header()->published;
    EXPECT_GE(all.next, published);
    EXPECT_LE(all.next, published + 1);
    EXPECT_EQ(all.lost, 0u);
    EXPECT_EQ(made_all, all.next == kMessages && child.EndedWell());
    // Others go on.
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(other->Publish(Text(2), {}, Soon()).ok());
      EXPECT_TRUE(patient->Receive(Soon()).ok());
      EXPECT_TRUE(hasty->Receive(Soon()).ok());
    }
  }
  // Nine words of a slot, its number, and the count, at least.
  EXPECT_GT(stores, kMessages * 10);
}

void DieAsSubscriber(SlowPolicy policy) {
  bool made_all = false;
  uint64_t stores = 1;
  for (; !made_all && !testing::Test::HasFailure(); ++stores) {
    MadeChannel channel(SmallChannel(ChannelKind::kPublish));
    auto other = MadeChannel::Checked(
        RingSubscriber::Open(channel.AddSubscriber(SlowPolicy::kBlock)));
    SubscriberParts parts = channel.AddSubscriber(policy);
    const MemberId dying = {parts.index, parts.generation};
    PublisherParts publisher_parts = channel.AddPublisher();
    Child child(stores, [&] {
      auto subscriber =
          MadeChannel::Checked(DyingSubscriber::Open(std::move(parts)));
      for (uint64_t i = 0; i < kMessages;) {
        // Two at a time, released in the wrong order.
        auto first = subscriber->Receive(Soon());
        ASSERT_TRUE(first.ok()) << first.status();
        i = first->number() + 1;
        EXPECT_TRUE(IsText(*first, first->number()));
        if (i >= kMessages) break;
        auto second = subscriber->Receive(Soon());
        ASSERT_TRUE(second.ok()) << second.status();
        i = second->number() + 1;
        EXPECT_TRUE(IsText(*second, second->number()));
        first->Release();
      }
    });
    auto publisher =
        MadeChannel::Checked(RingPublisher::Open(std::move(publisher_parts)));
    Log log;
    uint64_t sent = 0;
    bool removed = false;
    while (sent < kMessages || !removed) {
      if (!removed && child.HasEnded()) {
        channel.Remove(MemberKind::kSubscriber, dying.index, dying.generation);
        removed = true;
      }
      const std::string text = Text(sent);
      if (sent < kMessages &&
          publisher->Publish(text, {}, absl::Now() + absl::Milliseconds(1))
              .ok()) {
        ++sent;
      }
      log.ReadAll(*other, publisher->id().index);
      if (testing::Test::HasFailure()) break;
    }
    made_all = child.EndedWell();
    EXPECT_TRUE(made_all || child.WasKilled()) << stores;
    EXPECT_EQ(log.next, kMessages);
    EXPECT_EQ(log.lost, 0u);
  }
  EXPECT_GT(stores, kMessages);
}

TEST(ChannelCrashTest, SubscriberThatIsWaitedForDiesAfterEachOfItsStores) {
  DieAsSubscriber(SlowPolicy::kBlock);
}

TEST(ChannelCrashTest, SubscriberThatPinsDiesAfterEachOfItsStores) {
  DieAsSubscriber(SlowPolicy::kDropOldest);
}

// What the dying consumer knows, where the other process sees it.
struct Diary {
  uint64_t received[kMessages];
  uint64_t acknowledged[kMessages];
};

// Acknowledges all, but gives one back the first time.
void Consume(SubscriberParts parts, Diary* diary) {
  auto consumer = MadeChannel::Checked(DyingSubscriber::Open(std::move(parts)));
  for (uint64_t i = 0; i < kMessages; ++i) {
    auto got = consumer->Receive(Soon());
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_TRUE(IsText(*got, got->number()));
    const uint64_t number = got->number();
    ++diary->received[number];
    if (number == 3 && diary->received[number] == 1) {
      EXPECT_TRUE(got->GiveBack().ok());
      --i;
      continue;
    }
    ASSERT_TRUE(got->Acknowledge().ok());
    ++diary->acknowledged[number];
  }
}

TEST(ChannelCrashTest, ConsumerDiesAfterEachOfItsStores) {
  auto* const diary =
      static_cast<Diary*>(mmap(nullptr, sizeof(Diary), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(diary, MAP_FAILED);
  bool made_all = false;
  uint64_t stores = 1;
  for (; !made_all && !HasFailure(); ++stores) {
    *diary = {};
    MadeChannel channel(SmallChannel(ChannelKind::kQueue));
    SubscriberParts parts = channel.AddSubscriber();
    const MemberId dying = {parts.index, parts.generation};
    auto other =
        MadeChannel::Checked(RingSubscriber::Open(channel.AddSubscriber()));
    PublisherParts publisher_parts = channel.AddPublisher();
    Child child(stores, [&] { Consume(std::move(parts), diary); });
    auto publisher =
        MadeChannel::Checked(RingPublisher::Open(std::move(publisher_parts)));
    uint64_t sent = 0;
    while (!child.HasEnded()) {
      if (sent < kMessages &&
          publisher
              ->Publish(Text(sent), {}, absl::Now() + absl::Milliseconds(1))
              .ok()) {
        ++sent;
      }
    }
    channel.Remove(MemberKind::kSubscriber, dying.index, dying.generation);
    uint64_t taken_over[kMessages] = {};
    for (;;) {
      while (sent < kMessages &&
             publisher->Publish(Text(sent), {}, kNow).ok()) {
        ++sent;
      }
      auto got = other->TryReceive();
      ASSERT_TRUE(got.ok()) << got.status();
      if (!got->has_value()) break;
      ASSERT_TRUE(IsText(**got, (*got)->number()));
      ++taken_over[(*got)->number()];
      EXPECT_TRUE((*got)->Acknowledge().ok());
    }
    EXPECT_EQ(sent, kMessages);
    uint64_t in_doubt = 0;
    for (uint64_t i = 0; i < kMessages; ++i) {
      EXPECT_LE(taken_over[i] + diary->acknowledged[i], 1u) << i;
      if (taken_over[i] + diary->acknowledged[i] == 1) continue;
      // It had acknowledged this one, and died before it could note that.
      EXPECT_GE(diary->received[i], 1u) << i;
      ++in_doubt;
    }
    EXPECT_LE(in_doubt, 1u);
    made_all = child.EndedWell();
    EXPECT_TRUE(made_all || child.WasKilled());
  }
  EXPECT_GT(stores, 3 * kMessages);
  munmap(diary, sizeof(Diary));
}

TEST(ChannelCrashTest, DaemonDiesAfterEachOfItsStores) {
  bool made_all = false;
  uint64_t stores = 1;
  for (; !made_all && !HasFailure(); ++stores) {
    MadeChannel channel(SmallChannel(ChannelKind::kPublish));
    const MemberId stays = *channel.writer().Reserve(MemberKind::kPublisher);
    channel.writer().Add(MemberKind::kPublisher, stays, {});
    const MemberId leaves = *channel.writer().Reserve(MemberKind::kSubscriber);
    channel.writer().Add(MemberKind::kSubscriber, leaves, {});
    MemberFields fields;
    fields.pid = 5;
    fields.join_time_ns = 6;
    const uint32_t before = channel.writer().view().change();
    Child child(stores, [&] {
      auto writer = MadeChannel::Checked(
          BasicChannelWriter<DyingMemory>::Open(channel.page_fd()));
      const MemberId comes = *writer.Reserve(MemberKind::kPublisher);
      writer.Add(MemberKind::kPublisher, comes, fields);
      EXPECT_TRUE(writer.Remove(MemberKind::kSubscriber, leaves));
      writer.Close();
    });
    while (!child.HasEnded()) sched_yield();
    made_all = child.EndedWell();
    EXPECT_TRUE(made_all || child.WasKilled());
    const ChannelWriter next =
        MadeChannel::Checked(ChannelWriter::Open(channel.page_fd()));
    // Whatever the last run had not told is told now.
    EXPECT_NE(next.view().change(), before);
    const auto publishers = next.List(MemberKind::kPublisher);
    ASSERT_GE(publishers.size(), 1u);
    EXPECT_EQ(publishers[0].id, stays);
    if (publishers.size() > 1) {
      EXPECT_EQ(publishers[1].fields.pid, 5);
      EXPECT_EQ(publishers[1].fields.join_time_ns, 6u);
      EXPECT_GT(publishers[1].id.generation, leaves.generation);
    }
    const bool has_left = next.List(MemberKind::kSubscriber).empty();
    EXPECT_TRUE(!has_left || publishers.size() == 2);
    EXPECT_TRUE(!next.view().closed() || has_left);
    EXPECT_EQ(made_all, next.view().closed() && child.EndedWell());
  }
  EXPECT_GT(stores, 12u);
}

}  // namespace
}  // namespace shmd
