// Calls: who answers whom, and who is not held up.

#include "shm/channel/call.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::MemberRole;
using layout::SlowPolicy;

const absl::Time kNow = absl::InfinitePast();

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

ChannelFields Fields() {
  ChannelFields fields;
  fields.kind = ChannelKind::kCall;
  fields.slots = 8;
  fields.payload_bytes = 65536;
  return fields;
}

std::string TextOf(const ReceivedMessage& message) {
  return std::string(message.data(), message.size_bytes());
}

struct CallTest : testing::Test {
  std::unique_ptr<RingPublisher> Publisher(MemberRole role) {
    return MadeChannel::Checked(
        RingPublisher::Open(channel.AddPublisher(role)));
  }
  std::unique_ptr<RingSubscriber> Subscriber(MemberRole role) {
    return MadeChannel::Checked(
        RingSubscriber::Open(channel.AddSubscriber(SlowPolicy::kBlock, role)));
  }
  std::unique_ptr<CallClient> Client() {
    auto subscriber = Subscriber(MemberRole::kClient);
    return std::make_unique<CallClient>(Publisher(MemberRole::kClient),
                                        std::move(subscriber));
  }
  std::unique_ptr<CallServer> Server() {
    auto subscriber = Subscriber(MemberRole::kServer);
    return std::make_unique<CallServer>(Publisher(MemberRole::kServer),
                                        std::move(subscriber));
  }
  // As when its session ends.
  void Kill(CallServer& server) {
    channel.MarkLeft(server.publisher().id().index,
                     server.publisher().id().generation);
    channel.Remove(MemberKind::kSubscriber, server.subscriber().id().index,
                   server.subscriber().id().generation);
  }
  // As when its ring is not kept any longer.
  void Forget(CallServer& server) {
    Kill(server);
    channel.Remove(MemberKind::kPublisher, server.publisher().id().index,
                   server.publisher().id().generation);
  }

  // The next request is answered.
  void Answer(CallServer& server, absl::Time deadline = kNow) {
    auto call = server.Next(kNow);
    ASSERT_TRUE(call.ok()) << call.status();
    const absl::Status sent = call->Finish(call->payload(), deadline);
    ASSERT_TRUE(sent.ok()) << sent;
  }

  MadeChannel channel{Fields()};
  const std::string request = "request";
  const std::string response = "response";
};

TEST_F(CallTest, ManyCallsAtOnce) {
  auto server = Server();
  auto client = Client();
  auto other = Client();
  for (int round = 0; round < 20; ++round) {
    std::vector<uint64_t> calls;
    for (int i = 0; i < 4; ++i) calls.push_back(*client->Start(request, kNow));
    const uint64_t theirs = *other->Start(request, kNow);
    for (int i = 0; i < 5; ++i) {
      auto call = server->Next(kNow);
      ASSERT_TRUE(call.ok()) << call.status();
      ASSERT_TRUE(call->Finish(call->payload(), kNow).ok());
    }
    for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
      auto got = client->Next(*call, Soon());
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(TextOf(got->message), request);
      EXPECT_TRUE(got->is_last);
      EXPECT_EQ(client->Next(*call, kNow).status().code(),
                absl::StatusCode::kNotFound);
    }
    EXPECT_TRUE(other->Next(theirs, Soon()).ok());
  }
}

TEST_F(CallTest, StreamsResponsesAndErrors) {
  auto server = Server();
  auto client = Client();
  const uint64_t call = *client->Start(request, kNow);
  auto incoming = *server->Next(kNow);
  ASSERT_TRUE(incoming.Respond(response, kNow).ok());
  auto part = *client->Next(call, kNow);
  EXPECT_EQ(TextOf(part.message), response);
  EXPECT_FALSE(part.is_last);
  EXPECT_EQ(GetErrorReason(client->Next(call, kNow).status()),
            reason::kNoMessage);
  Loan loan = *server->publisher().Borrow(2, kNow);
  loan.data()[0] = loan.data()[1] = 'x';
  ASSERT_TRUE(incoming.Respond(std::move(loan), /*is_last=*/false).ok());
  EXPECT_EQ(TextOf(client->Next(call, kNow)->message), "xx");
  ASSERT_TRUE(incoming.Fail(absl::OutOfRangeError("no more"), kNow).ok());
  const auto last = client->NextOfAny(kNow);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->first, call);
  EXPECT_EQ(last->second.status(), absl::OutOfRangeError("no more"));
  EXPECT_EQ(client->call_count(), 0u);
}

TEST_F(CallTest, ServersThatHaveGoneFailTheCallAtOnce) {
  auto client = Client();
  EXPECT_EQ(GetErrorReason(client->Start(request, kNow).status()),
            reason::kServerGone);
  auto server = Server();
  auto other = Server();
  const uint64_t taken = *client->Start(request, kNow);
  auto incoming = *server->Next(kNow);
  const uint64_t free = *client->Start(request, kNow);
  ASSERT_TRUE(incoming.Respond(response, kNow).ok());
  std::thread killer([&] {
    absl::SleepFor(absl::Milliseconds(5));
    Kill(*server);
  });
  // What it had sent is read before.
  EXPECT_EQ(TextOf(client->Next(taken, Soon())->message), response);
  const absl::Status gone = client->Next(taken, Soon()).status();
  killer.join();
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetErrorReason(gone), reason::kServerGone);
  EXPECT_EQ(GetErrorReason(incoming.Finish(response, kNow)),
            reason::kClaimLost);
  // The other server gets what nobody had claimed, and nothing else.
  {
    auto second = *other->Next(Soon());
    EXPECT_EQ(second.request().number(), free);
    EXPECT_EQ(GetErrorReason(other->Next(kNow).status()), reason::kNoMessage);
  }
  Kill(*other);
  EXPECT_EQ(GetErrorReason(client->Next(free, Soon()).status()),
            reason::kServerGone);
}

// As when the daemon was away while the client joined.
TEST_F(CallTest, ResponseBeforeItsRingCouldBeHadIsRead) {
  auto server = Server();
  channel.Refuse(PartKind::kRing, true);
  auto client = Client();
  const uint64_t call = *client->Start(request, kNow);
  EXPECT_EQ(GetErrorReason(client->Next(call, kNow).status()),
            reason::kNoMessage);
  channel.Refuse(PartKind::kRing, false);
  Answer(*server);
  const auto answered = client->Next(call, Soon());
  ASSERT_TRUE(answered.ok()) << answered.status();
  EXPECT_EQ(TextOf(answered->message), request);
}

TEST_F(CallTest, CancelledCallsAreNotAnswered) {
  auto server = Server();
  auto client = Client();
  // Claimed already.
  const uint64_t first = *client->Start(request, kNow);
  auto incoming = *server->Next(kNow);
  EXPECT_FALSE(incoming.IsCancelled());
  client->Cancel(first);
  EXPECT_TRUE(incoming.IsCancelled());
  EXPECT_EQ(GetErrorReason(incoming.Finish(response, kNow)),
            reason::kClaimLost);
  // The request stays as it is while the server has it.
  for (int i = 0; i < 40; ++i) {
    const uint64_t call = *client->Start(response, kNow);
    client->Cancel(call);
  }
  EXPECT_EQ(TextOf(incoming.request()), request);
  EXPECT_EQ(GetErrorReason(server->Next(kNow).status()), reason::kNoMessage);
  const absl::Status late =
      client->Call(request, absl::Now() + absl::Milliseconds(5)).status();
  EXPECT_EQ(GetErrorReason(late), reason::kNoMessage);
  EXPECT_EQ(client->call_count(), 0u);
}

TEST_F(CallTest, CallsAcrossThreads) {
  auto server = Server();
  auto client = Client();
  constexpr int kCalls = 500;
  std::thread serving([&] {
    for (int i = 0; i < kCalls; ++i) {
      auto call = server->Next(Soon());
      ASSERT_TRUE(call.ok()) << call.status();
      ASSERT_TRUE(call->Finish(call->payload(), Soon()).ok());
    }
  });
  for (int i = 0; i < kCalls; ++i) {
    const std::string text = std::to_string(i);
    auto got = client->Call(text, Soon());
    EXPECT_TRUE(got.ok()) << got.status();
    if (!got.ok()) break;
    EXPECT_EQ(TextOf(*got), text);
  }
  serving.join();
}

// The ring has room for eight responses. One client has not read two when the
// others go round it.
TEST_F(CallTest, ClientThatDoesNotReadHoldsOthersUpForAMomentOnly) {
  auto server = Server();
  auto idle = Client();
  auto client = Client();
  const uint64_t first = *idle->Start(std::string("first"), kNow);
  const uint64_t second = *idle->Start(std::string("second"), kNow);
  Answer(*server);
  Answer(*server);
  const uint64_t claimed = *idle->Start(std::string("claimed"), kNow);
  auto incoming = *server->Next(kNow);
  for (int i = 0; i < 40; ++i) {
    const uint64_t call = *client->Start(std::to_string(i), kNow);
    Answer(*server, Soon());
    EXPECT_EQ(TextOf(client->Next(call, kNow)->message), std::to_string(i));
  }
  // It learns of that, and of no other call.
  for (const uint64_t lost : {first, second}) {
    const absl::Status status = idle->Next(lost, kNow).status();
    EXPECT_EQ(GetErrorReason(status), reason::kCutOff) << status;
  }
  ASSERT_TRUE(incoming.Finish(incoming.payload(), kNow).ok());
  EXPECT_EQ(TextOf(idle->Next(claimed, kNow)->message), "claimed");
  // And goes on.
  const uint64_t next = *idle->Start(std::string("next"), kNow);
  Answer(*server);
  EXPECT_EQ(TextOf(idle->Next(next, kNow)->message), "next");
  EXPECT_EQ(idle->call_count(), 0u);
}

TEST_F(CallTest, WhatAClientIsReadingStays) {
  auto server = Server();
  auto slow = Client();
  auto client = Client();
  const uint64_t call = *slow->Start(std::string("slow"), kNow);
  Answer(*server);
  const CallResponse held = *slow->Next(call, kNow);
  // Read and done with, behind the other one.
  const uint64_t after = *slow->Start(std::string("after"), kNow);
  Answer(*server);
  EXPECT_TRUE(slow->Next(after, kNow).ok());
  const uint64_t open = *slow->Start(std::string("open"), kNow);
  auto incoming = *server->Next(kNow);
  for (int i = 0; i < 40; ++i) {
    const uint64_t other = *client->Start(std::to_string(i), kNow);
    Answer(*server, Soon());
    EXPECT_EQ(TextOf(client->Next(other, kNow)->message), std::to_string(i));
  }
  EXPECT_EQ(TextOf(held.message), "slow");
  // Nothing was lost by that.
  ASSERT_TRUE(incoming.Finish(incoming.payload(), kNow).ok());
  EXPECT_EQ(TextOf(slow->Next(open, kNow)->message), "open");
}

TEST_F(CallTest, OneClientAloneIsWaitedFor) {
  auto server = Server();
  auto client = Client();
  std::vector<uint64_t> calls;
  for (int i = 0; i < 7; ++i) {
    calls.push_back(*client->Start(std::to_string(i), kNow));
    Answer(*server);
  }
  absl::SleepFor(absl::Milliseconds(60));
  calls.push_back(*client->Start(std::string("last"), kNow));
  auto incoming = *server->Next(kNow);
  ASSERT_TRUE(incoming.Finish(std::string("last"), kNow).ok());
  EXPECT_EQ(GetErrorReason(server->publisher()
                               .Borrow(1, absl::Now() + absl::Milliseconds(60))
                               .status()),
            reason::kChannelBlocked);
  for (const uint64_t call : calls) EXPECT_TRUE(client->Next(call, kNow).ok());
}

TEST_F(CallTest, PartOfAStreamThatIsMissedEndsTheCall) {
  auto server = Server();
  auto idle = Client();
  auto client = Client();
  const uint64_t stream = *idle->Start(request, kNow);
  auto incoming = *server->Next(kNow);
  ASSERT_TRUE(incoming.Respond("part", kNow).ok());
  for (int i = 0; i < 10; ++i) {
    const uint64_t call = *client->Start(request, kNow);
    Answer(*server, Soon());
    EXPECT_TRUE(client->Next(call, kNow).ok());
  }
  ASSERT_TRUE(incoming.Respond("next part", Soon()).ok());
  EXPECT_EQ(GetErrorReason(idle->Next(stream, kNow).status()), reason::kCutOff);
  EXPECT_TRUE(incoming.IsCancelled());
}

// More than can be pinned, answered in the order that is worst for the client.
TEST_F(CallTest, ResponsesThatNobodyHasAskedForAreMovedOut) {
  ChannelFields fields = Fields();
  fields.slots = 2048;
  MadeChannel large(fields);
  auto in = MadeChannel::Checked(RingSubscriber::Open(
      large.AddSubscriber(SlowPolicy::kBlock, MemberRole::kClient)));
  CallClient client(MadeChannel::Checked(RingPublisher::Open(
                        large.AddPublisher(MemberRole::kClient))),
                    std::move(in));
  auto serving = MadeChannel::Checked(RingSubscriber::Open(
      large.AddSubscriber(SlowPolicy::kBlock, MemberRole::kServer)));
  CallServer server(MadeChannel::Checked(RingPublisher::Open(
                        large.AddPublisher(MemberRole::kServer))),
                    std::move(serving));
  std::vector<uint64_t> calls;
  for (int i = 0; i < 600; ++i) {
    calls.push_back(*client.Start(std::to_string(i), kNow));
    Answer(server);
  }
  for (int i = 599; i >= 0; --i) {
    const auto got = client.Next(calls[i], kNow);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(TextOf(got->message), std::to_string(i));
  }
}

TEST_F(CallTest, RequestsOfTheDeadAreNotServed) {
  auto server = Server();
  auto client = Client();
  ASSERT_TRUE(client->Start(request, kNow).ok());
  auto incoming = *server->Next(kNow);
  ASSERT_TRUE(client->Start(request, kNow).ok());
  channel.Remove(MemberKind::kPublisher, client->publisher().id().index,
                 client->publisher().id().generation);
  // Also while one is in hand, and after it was given back.
  const absl::Time soon = absl::Now() + absl::Milliseconds(5);
  EXPECT_EQ(GetErrorReason(server->Next(soon).status()), reason::kNoMessage);
  EXPECT_TRUE(incoming.IsCancelled());
  { const IncomingCall gone = std::move(incoming); }
  EXPECT_EQ(GetErrorReason(server->Next(kNow).status()), reason::kNoMessage);
}

// A server that came, answered and went before its client looked: its ring was
// never seen.
TEST_F(CallTest, ResponseOfAServerThatNobodyKnewIsNotWaitedFor) {
  auto first = Server();
  auto client = Client();
  const uint64_t call = *client->Start(request, kNow);
  auto second = Server();
  Answer(*second);
  Forget(*second);
  EXPECT_EQ(GetErrorReason(client->Next(call, Soon()).status()),
            reason::kServerGone);
}

}  // namespace
}  // namespace shmd
