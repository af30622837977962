// Programs that take part in a channel and write anything at all into what they
// may write, while others go on.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "tests/testing/effort.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::SlowPolicy;

constexpr int kSeeds = 12;
constexpr uint64_t kWrites = 20000;  // for each seed, at least
// With fewer it may be that none is met.
constexpr uint64_t kFewestWrites = 5000;
constexpr absl::Duration kPatience = absl::Milliseconds(1);

ChannelFields Fields(ChannelKind kind, bool checksums) {
  ChannelFields fields;
  fields.kind = kind;
  fields.slots = 8;
  fields.payload_bytes = 16384;
  fields.checksums = checksums;
  return fields;
}

// Writes into words of a part until it is killed: mostly small numbers, and
// numbers that are near what was there, because those hurt. `often` words from
// `from` are written as often as all others together. What is checked once,
// when the part is mapped, stays as it was.
class Scribbler {
 public:
  Scribbler(void* memory, size_t bytes, size_t from, size_t often,
            uint64_t seed)
      : writes_(
            static_cast<uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
        pid_(fork()) {
    if (pid_ != 0) return;
    std::mt19937_64 random(seed);
    auto* const words = static_cast<uint64_t*>(memory);
    const size_t count = bytes / sizeof(uint64_t);
    for (;;) {
      const uint64_t dice = random();
      const uint64_t where = dice >> 16;
      const size_t at = (dice >> 8) % 2 == 0 ? kKept + where % (count - kKept)
                                             : from + where % often;
      Write(&words[at], dice, random());
      __atomic_fetch_add(writes_, 1, __ATOMIC_RELAXED);
      if (dice % 64 == 0) sched_yield();
    }
  }
  Scribbler(const Scribbler&) = delete;
  ~Scribbler() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(writes_, 4096);
  }

  uint64_t writes() const { return __atomic_load_n(writes_, __ATOMIC_RELAXED); }

 private:
  static constexpr size_t kKept = 8;

  static void Write(uint64_t* word, uint64_t dice, uint64_t value) {
    switch (dice % 4) {
      case 0:
        __atomic_store_n(word, value, __ATOMIC_RELAXED);
        break;
      case 1:
        __atomic_store_n(word, value % 16, __ATOMIC_RELAXED);
        break;
      case 2:
        __atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
        break;
      default:
        __atomic_fetch_xor(word, uint64_t{1} << (value % 64), __ATOMIC_RELAXED);
    }
  }

  uint64_t* const writes_;
  const pid_t pid_;
};

// Reads every byte of what was received, which has to be there.
uint64_t Touch(const ReceivedMessage& message) {
  uint64_t sum = 0;
  for (const char c : message.payload()) sum += static_cast<uint8_t>(c);
  for (const char c : message.metadata()) sum += static_cast<uint8_t>(c);
  return sum;
}

// What a subscriber got from a hostile ring beside an honest one.
struct Got {
  uint64_t others = 0;
  uint64_t errors = 0;
  bool is_cut_off = false;
  std::vector<ReceivedMessage> held;
};

// Receives until the honest publisher's message `number` is there.
void ReceiveHonest(RingSubscriber& subscriber, const MemberId& honest,
                   uint64_t number, const std::string& text, Got* all) {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  for (;;) {
    ASSERT_LT(absl::Now(), deadline);
    auto got = subscriber.Receive(deadline);
    if (!got.ok()) {
      const std::string why = GetErrorReason(got.status());
      ++all->errors;
      all->is_cut_off = why == reason::kCutOff;
      if (all->is_cut_off) return;
      if (why == reason::kMessagesHeld) all->held.clear();
      ASSERT_NE(why, reason::kNoMessage);
      continue;
    }
    Touch(*got);
    if (got->publisher() == honest) {
      ASSERT_EQ(got->number(), number);
      ASSERT_EQ(std::string(got->data(), got->size_bytes()), text);
      return;
    }
    ++all->others;
    if (all->others % 4 == 0) all->held.push_back(*std::move(got));
    if (all->held.size() > 4) all->held.erase(all->held.begin());
  }
}

// The honest publisher's messages all arrive, in order.
void ReadBesideAHostileRing(SlowPolicy policy, bool checksums) {
  Got all;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    MadeChannel channel(Fields(ChannelKind::kPublish, checksums));
    auto subscriber = MadeChannel::Checked(
        RingSubscriber::Open(channel.AddSubscriber(policy)));
    PublisherParts hostile = channel.AddPublisher();
    auto honest =
        MadeChannel::Checked(RingPublisher::Open(channel.AddPublisher()));
    const auto ring = MadeChannel::Checked(MappedRing::Map(
        hostile.ring.get(), hostile.generation, /*writable=*/true));
    // It has messages, too, and they are scribbled over.
    auto liar = MadeChannel::Checked(RingPublisher::Open(std::move(hostile)));
    const auto lie = [&liar](const std::string& text) {
      return liar->Publish(text, {}, absl::InfinitePast()).ok();
    };
    ASSERT_FALSE(subscriber->TryReceive()->has_value());
    ASSERT_TRUE(lie("a lie"));
    const Scribbler scribbler(ring.header(), ring.size_bytes,
                              sizeof(layout::RingHeader) / 8, 64, seed);
    const uint64_t writes = std::max(Effort(kWrites), kFewestWrites);
    for (uint64_t i = 0; scribbler.writes() < writes; ++i) {
      const std::string text = std::to_string(i);
      // It would be cut off for that alone.
      if (policy != SlowPolicy::kCutOff) lie(text);
      ASSERT_TRUE(
          honest->Publish(text, {}, absl::Now() + absl::Seconds(20)).ok());
      ReceiveHonest(*subscriber, honest->id(), i, text, &all);
      if (testing::Test::HasFatalFailure()) return;
      if (all.is_cut_off) break;
    }
    all.held.clear();
    all.is_cut_off = false;
  }
  testing::Test::RecordProperty("others", std::to_string(all.others));
  testing::Test::RecordProperty("errors", std::to_string(all.errors));
  // It was read, whatever it said.
  EXPECT_GT(all.others + all.errors, 0u);
}

TEST(ChannelHostileTest, RingOfAPublisherThatIsWaitedBy) {
  ReadBesideAHostileRing(SlowPolicy::kBlock, false);
}

TEST(ChannelHostileTest, RingWhoseReaderPins) {
  ReadBesideAHostileRing(SlowPolicy::kDropOldest, true);
}

TEST(ChannelHostileTest, RingWhoseReaderCanBeCutOff) {
  ReadBesideAHostileRing(SlowPolicy::kCutOff, false);
}

// A publisher that has a hostile subscriber goes on, or says that it waited.
void PublishToAHostileReader(SlowPolicy policy) {
  MadeChannel channel(Fields(ChannelKind::kPublish, true));
  SubscriberParts hostile = channel.AddSubscriber(policy);
  auto honest = MadeChannel::Checked(
      RingSubscriber::Open(channel.AddSubscriber(SlowPolicy::kBlock)));
  auto publisher =
      MadeChannel::Checked(RingPublisher::Open(channel.AddPublisher()));
  const auto page = MadeChannel::Checked(MappedReaderPage::Map(
      hostile.page.get(), hostile.generation, /*writable=*/true));
  const Scribbler scribbler(page.page(), sizeof(layout::ReaderPage),
                            sizeof(layout::ReaderHeader) / 8, 8, 20261129);
  const uint64_t writes = Effort(10 * kWrites);
  uint64_t next = 0;
  for (int round = 0; scribbler.writes() < writes; ++round) {
    const std::string text(static_cast<size_t>(round % 4000), 'x');
    const absl::Time begin = absl::Now();
    const auto sent = publisher->Publish(text, {}, begin + kPatience);
    if (!sent.ok()) {
      ASSERT_EQ(GetErrorReason(sent.status()), reason::kChannelBlocked);
      ASSERT_GE(absl::Now(), begin + kPatience);
    }
    for (;;) {
      auto got = honest->TryReceive();
      ASSERT_TRUE(got.ok()) << got.status();
      if (!got->has_value()) break;
      ASSERT_EQ((*got)->number(), next++);
      Touch(**got);
    }
  }
  EXPECT_EQ(next, publisher->published());
  EXPECT_GT(next, 0u);
  // Once it is thrown out, all is well.
  channel.Remove(MemberKind::kSubscriber, hostile.index, hostile.generation);
  for (int i = 0; i < 100; ++i) {
    const std::string text(4000, 'y');
    ASSERT_TRUE(
        publisher->Publish(text, {}, absl::Now() + absl::Seconds(20)).ok());
    ASSERT_TRUE(honest->Receive(absl::Now() + absl::Seconds(20)).ok());
  }
}

TEST(ChannelHostileTest, PageOfASubscriberThatIsWaitedFor) {
  PublishToAHostileReader(SlowPolicy::kBlock);
}

TEST(ChannelHostileTest, PageOfASubscriberThatPins) {
  PublishToAHostileReader(SlowPolicy::kDropOldest);
}

TEST(ChannelHostileTest, ClaimsOfAQueue) {
  MadeChannel channel(Fields(ChannelKind::kQueue, true));
  auto consumer =
      MadeChannel::Checked(RingSubscriber::Open(channel.AddSubscriber()));
  PublisherParts parts = channel.AddPublisher();
  const auto claims = MadeChannel::Checked(
      MappedClaims::Map(channel.Part(PartKind::kClaims, parts.generation).get(),
                        parts.generation, 8));
  auto publisher = MadeChannel::Checked(RingPublisher::Open(std::move(parts)));
  {
    const Scribbler scribbler(claims.header(), 128, 8, 8, 20261130);
    const uint64_t writes = Effort(10 * kWrites);
    for (int round = 0; scribbler.writes() < writes; ++round) {
      const std::string text(static_cast<size_t>(round % 1000), 'x');
      publisher->Publish(text, {}, absl::Now() + kPatience)
          .status()
          .IgnoreError();
      const absl::Time begin = absl::Now();
      auto got = consumer->Receive(begin + kPatience);
      // Bounded, whatever stands there.
      ASSERT_LT(absl::Now(), begin + absl::Seconds(20));
      if (!got.ok()) continue;
      Touch(*got);
      got->Acknowledge().IgnoreError();
    }
  }
  // What is left is consumed once nobody scribbles.
  for (bool some = true; some;) {
    auto got = consumer->Receive(absl::Now() + kPatience);
    some = got.ok();
    if (some) {
      EXPECT_TRUE(got->Acknowledge().ok());
    }
  }
  for (int i = 0; i < 100; ++i) {
    const std::string text = "y";
    const auto sent =
        publisher->Publish(text, {}, absl::Now() + absl::Seconds(20));
    ASSERT_TRUE(sent.ok()) << sent.status() << i;
    auto got = consumer->Receive(absl::Now() + absl::Seconds(20));
    ASSERT_TRUE(got.ok()) << got.status() << i;
    EXPECT_EQ(got->number(), *sent);
    EXPECT_TRUE(got->Acknowledge().ok());
  }
}

// A publisher that was sent away, and goes on.
struct SentAwayTest : testing::Test {
  static constexpr uint32_t kSlots = 8;

  void Begin(ChannelKind kind) {
    channel = std::make_unique<MadeChannel>(Fields(kind, false));
    for (auto& one : subscribers) {
      one =
          MadeChannel::Checked(RingSubscriber::Open(channel->AddSubscriber()));
    }
    const PublisherParts parts = channel->AddPublisher();
    ring = MadeChannel::Checked(
        MappedRing::Map(parts.ring.get(), parts.generation, /*writable=*/true));
    if (kind == ChannelKind::kQueue) {
      claims = MadeChannel::Checked(
          MappedClaims::Map(parts.claims.get(), parts.generation, kSlots));
    }
    for (auto& one : subscribers) EXPECT_FALSE(one->TryReceive()->has_value());
    channel->Remove(MemberKind::kPublisher, parts.index, parts.generation);
  }
  void Show(uint64_t number) {
    layout::RingSlot& slot = ring.slot_array()[number % kSlots];
    slot.offset_bytes = ring.payload_offset;
    slot.size_bytes = 1;
    __atomic_store_n(&slot.sequence, number + 1, __ATOMIC_RELEASE);
  }

  std::unique_ptr<MadeChannel> channel;
  std::unique_ptr<RingSubscriber> subscribers[2];
  MappedRing ring;
  MappedClaims claims;
};

TEST_F(SentAwayTest, IsHeardNoMoreWhenItsMessagesAreRead) {
  Begin(ChannelKind::kPublish);
  uint64_t heard = 0;
  for (uint64_t i = 0; i < 100 * kSlots; ++i) {
    Show(i);
    // As if the last ones had been taken back, now and then.
    if (i % 5 == 0) ring.header()->oldest = i;
    heard += subscribers[0]->TryReceive()->has_value() ? 1 : 0;
  }
  EXPECT_GE(heard, kSlots);
  EXPECT_LE(heard, 2 * kSlots);
  EXPECT_EQ(subscribers[0]->publisher_count(), 0u);
}

TEST_F(SentAwayTest, ASkipOverMessagesIsNoWayRound) {
  Begin(ChannelKind::kPublish);
  uint64_t heard = 0;
  for (uint64_t i = 0; i < 1000 * kSlots; i += 2) {
    // The one that is waited for was there, and it is the next one that is.
    ring.slot_array()[i % kSlots].sequence = i + 1 + kSlots;
    ring.header()->oldest = i + 1;
    Show(i + 1);
    heard += subscribers[0]->TryReceive()->has_value() ? 1 : 0;
  }
  EXPECT_LE(heard, 2 * kSlots);
  EXPECT_EQ(subscribers[0]->publisher_count(), 0u);
}

TEST_F(SentAwayTest, ItsWorkComesToAnEnd) {
  Begin(ChannelKind::kQueue);
  uint64_t done = 0;
  for (uint64_t i = 0; i < 100 * kSlots; ++i) {
    Show(i);
    ring.header()->oldest = i;
    for (auto& one : subscribers) {
      auto got = *one->TryReceive();
      if (!got.has_value()) continue;
      // What is given back is offered again, as often as it takes.
      if (i % 2 == 0) {
        EXPECT_TRUE(got->GiveBack().ok());
        got = *one->TryReceive();
        ASSERT_TRUE(got.has_value());
      }
      EXPECT_TRUE(got->Acknowledge().ok());
      ++done;
    }
  }
  EXPECT_GE(done, kSlots);
  EXPECT_LE(done, 2 * kSlots);
}

TEST_F(SentAwayTest, WhatIsDoneIsOfferedToNobodyAgain) {
  Begin(ChannelKind::kQueue);
  for (uint64_t i = 0; i < kSlots; ++i) Show(i);
  uint64_t done = 0;
  for (int i = 0; i < 100; ++i) {
    for (auto& one : subscribers) {
      auto got = *one->TryReceive();
      if (!got.has_value()) continue;
      EXPECT_TRUE(got->Acknowledge().ok());
      ++done;
    }
    for (uint64_t j = 0; j < kSlots; ++j) claims.words()[j] = 0;
    ++claims.header()->returned;
  }
  EXPECT_GE(done, kSlots);
  EXPECT_LE(done, 2 * kSlots);
  for (auto& one : subscribers) EXPECT_EQ(one->publisher_count(), 0u);
}

}  // namespace
}  // namespace shmd
