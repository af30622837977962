// Programs that call and are called, one of which is killed after each store
// that it makes.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/call.h"
#include "shm/channel/crash_channel.h"
#include "shm/lane/dying_child.h"
#include "shm/lane/dying_memory.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::HostMemory;
using layout::MemberRole;
using layout::SlowPolicy;

constexpr uint64_t kCalls = 11;

std::string RequestText(uint64_t number) {
  return "request " + std::string(number * 100, 'x') + std::to_string(number);
}

template <typename Message>
std::string TextOf(const Message& message) {
  return std::string(message.payload().begin(), message.payload().end());
}

// One end of calls, before it is opened: in the process that uses it.
struct Parts {
  Parts(MadeChannel& channel, MemberRole role)
      : subscriber(channel.AddSubscriber(SlowPolicy::kBlock, role)),
        publisher(channel.AddPublisher(role)),
        in{subscriber.index, subscriber.generation},
        out{publisher.index, publisher.generation} {}

  template <template <typename, typename> typename End, typename Memory>
  std::unique_ptr<End<Memory, HostWait>> Open() {
    auto subscribed = MadeChannel::Checked(
        BasicRingSubscriber<Memory>::Open(std::move(subscriber)));
    auto published = MadeChannel::Checked(
        BasicRingPublisher<Memory>::Open(std::move(publisher)));
    return std::make_unique<End<Memory, HostWait>>(std::move(published),
                                                   std::move(subscribed));
  }
  // As the daemon does when the session has ended.
  void Remove(MadeChannel& channel) const {
    channel.Remove(MemberKind::kPublisher, out.index, out.generation);
    channel.Remove(MemberKind::kSubscriber, in.index, in.generation);
  }

  SubscriberParts subscriber;
  PublisherParts publisher;
  const MemberId in;
  const MemberId out;
};

// What the server that dies has got, where the other process sees it.
struct ServerDiary {
  uint64_t received[kCalls];
};

// Answers in two parts, or one. Gives one call back.
template <typename Server>
bool ServeOne(Server& server, absl::Time deadline, uint64_t* received) {
  auto call = server.Next(deadline);
  if (!call.ok()) return false;
  const uint64_t number = call->request().number();
  EXPECT_EQ(TextOf(*call), RequestText(number));
  if (number == 3 && received[number] == 0) {
    received[number] = 1;
    return true;
  }
  received[number] = 2;
  if (number % 2 == 1) {
    EXPECT_TRUE(call->Respond(RequestText(number + 1), Soon()).ok());
  }
  EXPECT_TRUE(call->Finish(call->payload(), Soon()).ok());
  return true;
}

// What a client gets: each call ends once, after all its parts, in order.
struct CallLog {
  std::map<uint64_t, uint64_t> parts;  // of calls that are not over
  uint64_t answered = 0;
  uint64_t gone = 0;

  // All that there is now; with a deadline, at least one.
  void Read(CallClient& client, absl::Time deadline) {
    while (ReadOne(client, deadline)) deadline = kNow;
  }

 private:
  bool ReadOne(CallClient& client, absl::Time deadline) {
    auto next = client.NextOfAny(deadline);
    if (!next.ok()) {
      EXPECT_EQ(GetErrorReason(next.status()), reason::kNoMessage);
      EXPECT_EQ(deadline, kNow);
      return false;
    }
    Note(next->first, next->second);
    return !testing::Test::HasFailure();
  }
  void Note(uint64_t call, const absl::StatusOr<CallResponse>& response) {
    ASSERT_EQ(parts.count(call), 1u) << call;
    if (!response.ok()) {
      ASSERT_EQ(GetErrorReason(response.status()), reason::kServerGone);
      ++gone;
      parts.erase(call);
      return;
    }
    const bool is_last = call % 2 == 0 || parts[call] == 1;
    ASSERT_EQ(response->is_last, is_last);
    ASSERT_EQ(TextOf(response->message), RequestText(call + (is_last ? 0 : 1)));
    ++parts[call];
    if (!is_last) return;
    ++answered;
    parts.erase(call);
  }
};

TEST(CallCrashTest, ServerDiesAfterEachOfItsStores) {
  auto* const diary = static_cast<ServerDiary*>(
      mmap(nullptr, sizeof(ServerDiary), PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(diary, MAP_FAILED);
  bool made_all = false;
  uint64_t stores = 1;
  for (; !made_all && !HasFailure(); ++stores) {
    *diary = {};
    MadeChannel channel(SmallChannel(ChannelKind::kCall));
    Parts dying(channel, MemberRole::kServer);
    Parts client_parts(channel, MemberRole::kClient);
    Child child(stores, [&] {
      auto server = dying.Open<BasicCallServer, DyingMemory>();
      // One is given back, and comes again.
      for (uint64_t i = 0; i < kCalls + 1; ++i) {
        ASSERT_TRUE(ServeOne(*server, Soon(), diary->received));
      }
    });
    auto client = client_parts.Open<BasicCallClient, HostMemory>();
    Parts other_parts(channel, MemberRole::kServer);
    CallLog log;
    uint64_t started = 0;
    const auto start_some = [&] {
      while (started < kCalls && client->call_count() < 3) {
        const auto call = client->Start(RequestText(started), kNow);
        if (!call.ok()) return;
        ASSERT_EQ(*call, started++);
        log.parts[*call] = 0;
      }
    };
    while (!child.HasEnded()) {
      start_some();
      log.Read(*client, kNow);
    }
    dying.Remove(channel);
    made_all = child.EndedWell();
    EXPECT_TRUE(made_all || child.WasKilled()) << stores;
    uint64_t taken_over[kCalls] = {};
    {
      auto other = other_parts.Open<BasicCallServer, HostMemory>();
      while (!HasFailure() && (started < kCalls || client->call_count() > 0)) {
        start_some();
        ServeOne(*other, kNow, taken_over);
        log.Read(*client, kNow);
      }
    }
    // At most the one that it had in hand, and nobody else did that again.
    EXPECT_LE(log.gone, made_all ? 0u : 1u) << stores;
    EXPECT_EQ(log.answered + log.gone, kCalls) << stores;
    for (uint64_t i = 0; i < kCalls; ++i) {
      EXPECT_FALSE(diary->received[i] == 2 && taken_over[i] != 0) << i;
    }
  }
  EXPECT_GT(stores, kCalls * 12);
  munmap(diary, sizeof(ServerDiary));
}

// The call that it had claimed ends though no other server is there, and all
// that were not claimed too.
TEST(CallCrashTest, LastServerDiesAfterEachOfItsStores) {
  bool made_all = false;
  for (uint64_t stores = 1; !made_all && !HasFailure(); ++stores) {
    MadeChannel channel(SmallChannel(ChannelKind::kCall));
    Parts dying(channel, MemberRole::kServer);
    Parts client_parts(channel, MemberRole::kClient);
    Child child(stores, [&] {
      auto server = dying.Open<BasicCallServer, DyingMemory>();
      uint64_t received[kCalls] = {};
      for (int i = 0; i < 3; ++i) ServeOne(*server, Soon(), received);
    });
    auto client = client_parts.Open<BasicCallClient, HostMemory>();
    CallLog log;
    for (uint64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(client->Start(RequestText(i), kNow).ok());
      log.parts[i] = 0;
    }
    while (!child.HasEnded()) sched_yield();
    dying.Remove(channel);
    while (!HasFailure() && client->call_count() > 0) log.Read(*client, Soon());
    made_all = child.EndedWell();
    EXPECT_TRUE(!made_all || log.gone == 0) << log.gone;
    EXPECT_EQ(log.answered + log.gone, 3u) << stores;
  }
}

// Two calls at a time; one is cancelled, one response of each held for a while.
void CallAll(Parts& parts) {
  auto client = parts.Open<BasicCallClient, DyingMemory>();
  const auto read = [&](uint64_t call) {
    auto got = client->Next(call, Soon());
    // On a busy machine it may have been too slow for its ring of four.
    if (GetErrorReason(got.status()) == reason::kCutOff) return got;
    EXPECT_TRUE(got.ok()) << got.status();
    if (got.ok()) {
      EXPECT_EQ(TextOf(got->message), RequestText(call));
    }
    return got;
  };
  uint64_t number = 0;
  while (number < kCalls) {
    const auto first = client->Start(RequestText(number), Soon());
    ASSERT_TRUE(first.ok()) << first.status();
    ++number;
    const auto second = client->Start(RequestText(number), Soon());
    ASSERT_TRUE(second.ok()) << second.status();
    ++number;
    if (number == 4) client->Cancel(*second);
    const auto one = read(*first);
    if (number == 4) continue;
    const auto other = read(*second);
  }
}

TEST(CallCrashTest, ClientDiesAfterEachOfItsStores) {
  bool made_all = false;
  uint64_t stores = 1;
  for (; !made_all && !HasFailure(); ++stores) {
    MadeChannel channel(SmallChannel(ChannelKind::kCall));
    Parts dying(channel, MemberRole::kClient);
    Parts other_parts(channel, MemberRole::kClient);
    Parts server_parts(channel, MemberRole::kServer);
    Child child(stores, [&] { CallAll(dying); });
    auto server = server_parts.Open<BasicCallServer, HostMemory>();
    auto other = other_parts.Open<BasicCallClient, HostMemory>();
    uint64_t theirs = 0;
    const auto serve = [&](absl::Time deadline) {
      auto call = server->Next(kNow);
      if (!call.ok()) return;
      const bool is_others = call->request().publisher() == other_parts.out;
      EXPECT_EQ(TextOf(*call), RequestText(call->request().number() %
                                           (is_others ? kCalls : 100)));
      const absl::Status sent = call->Finish(call->payload(), deadline);
      EXPECT_TRUE(sent.ok() ||
                  (!is_others && GetErrorReason(sent) == reason::kClaimLost))
          << sent;
    };
    const auto call_as_other = [&](absl::Time deadline) {
      const auto call = other->Start(RequestText(theirs % kCalls), kNow);
      ASSERT_TRUE(call.ok()) << call.status();
      ++theirs;
      for (;;) {
        serve(deadline);
        auto got = other->Next(*call, kNow);
        if (GetErrorReason(got.status()) == reason::kNoMessage) continue;
        ASSERT_TRUE(got.ok()) << got.status();
        EXPECT_EQ(TextOf(got->message), RequestText(*call % kCalls));
        return;
      }
    };
    while (!child.HasEnded() && !HasFailure()) call_as_other(Soon());
    dying.Remove(channel);
    made_all = child.EndedWell();
    EXPECT_TRUE(made_all || child.WasKilled()) << stores;
    // Round the server's ring, which has nothing left of the dead.
    for (int i = 0; i < 9 && !HasFailure(); ++i) call_as_other(kNow);
    EXPECT_FALSE(server->Next(kNow).ok());
    EXPECT_TRUE(server->publisher().Borrow(16384, kNow).ok()) << stores;
  }
  EXPECT_GT(stores, kCalls * 10);
}

}  // namespace
}  // namespace shmd
