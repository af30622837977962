#include <poll.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/calls.h"
#include "gtest/gtest.h"
#include "tests/testing/forked_child.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

absl::Time Deadline() { return absl::Now() + kPatience; }

absl::Span<const char> Bytes(const std::string& text) {
  return absl::MakeConstSpan(text);
}

std::string TextOf(const ReceivedMessage& message) {
  return std::string(message.data(), message.size_bytes());
}

class CallTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Client NewClient() const {
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static CallOptions Options() {
    CallOptions options;
    options.create.emplace();
    options.create->kind = ChannelKind::kCall;
    // Enough for all that is ever under way: a client that a busy machine holds
    // up for 40 ms would lose a response from a full ring.
    options.create->slots = 16;
    options.create->payload_bytes = 65536;
    return options;
  }
  static Requester NewRequester(Client& client) {
    auto requester = Requester::Open(client, "it", Options());
    EXPECT_TRUE(requester.ok()) << requester.status();
    return *std::move(requester);
  }
  static Responder NewResponder(Client& client) {
    auto responder = Responder::Open(client, "it", Options());
    EXPECT_TRUE(responder.ok()) << responder.status();
    return *std::move(responder);
  }

  std::unique_ptr<ScopedServer> server_;
};

// A server on a thread of its own, until the end of this.
class Serving {
 public:
  Serving(Client& client, Responder::Handler handler)
      : thread_([this, &client, handler = std::move(handler)] {
          auto responder = Responder::Open(client, "it");
          ASSERT_TRUE(responder.ok()) << responder.status();
          EXPECT_TRUE(absl::IsCancelled(responder->Serve(handler, cancel_)));
        }) {}
  ~Serving() {
    cancel_.Cancel();
    thread_.join();
  }

 private:
  CancelToken cancel_;
  std::thread thread_;
};

absl::StatusOr<std::string> Shout(absl::Span<const char> request) {
  if (request.empty()) return absl::InvalidArgumentError("nothing to shout");
  return absl::AsciiStrToUpper(
      absl::string_view(request.data(), request.size()));
}

TEST_F(CallTest, ARequestIsAnswered) {
  Client client = NewClient();
  Requester requester = NewRequester(client);
  EXPECT_EQ(GetErrorReason(requester.Call(Bytes("early")).status()),
            reason::kServerGone);
  EXPECT_EQ(GetErrorReason(requester.AwaitServer(absl::Now())),
            reason::kServerGone);
  const Serving serving(client, &Shout);
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  for (int i = 0; i < 100; ++i) {
    const auto response =
        requester.Call(Bytes(absl::StrCat("hello ", i)), Deadline());
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(TextOf(*response), absl::StrCat("HELLO ", i));
  }
  const auto refused = requester.Call(Bytes(""), Deadline());
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
  EXPECT_EQ(refused.status().message(), "nothing to shout");
}

TEST_F(CallTest, ManyCallsFromManyClientsToManyServers) {
  Client client = NewClient();
  NewRequester(client);
  const Serving first(client, &Shout);
  const Serving second(client, &Shout);
  std::vector<std::thread> calling;
  for (int i = 0; i < 3; ++i) {
    calling.emplace_back([&, i] {
      Requester requester = NewRequester(client);
      ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
      std::map<uint64_t, std::string> expected;
      for (int j = 0; j < 200; ++j) {
        const std::string text = absl::StrCat("x", i, "-", j);
        const auto call = requester.Start(Bytes(text), Deadline());
        ASSERT_TRUE(call.ok()) << call.status();
        expected[*call] = absl::AsciiStrToUpper(text);
        if (requester.calls() < 4) continue;
        auto next = requester.NextOfAny(Deadline());
        ASSERT_TRUE(next.ok()) << next.status();
        ASSERT_TRUE(next->second.ok()) << next->second.status();
        EXPECT_EQ(TextOf(next->second->message), expected[next->first]);
        EXPECT_EQ(expected.erase(next->first), 1u);
      }
      while (!expected.empty()) {
        const auto next = requester.Next(expected.begin()->first, Deadline());
        ASSERT_TRUE(next.ok()) << next.status();
        EXPECT_EQ(TextOf(next->message), expected.begin()->second);
        EXPECT_TRUE(next->is_last);
        expected.erase(expected.begin());
      }
      EXPECT_EQ(requester.calls(), 0u);
    });
  }
  for (std::thread& thread : calling) thread.join();
}

TEST_F(CallTest, AnAnswerMayComeInParts) {
  Client client = NewClient();
  Requester requester = NewRequester(client);
  Responder responder = NewResponder(client);
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  const auto call = requester.Start(Bytes("count"));
  ASSERT_TRUE(call.ok()) << call.status();
  auto incoming = responder.Next(Deadline());
  ASSERT_TRUE(incoming.ok()) << incoming.status();
  for (const char* const part : {"1", "2"}) {
    ASSERT_TRUE(incoming->Respond(Bytes(part), Deadline()).ok());
  }
  ASSERT_TRUE(incoming->Finish(Bytes("3"), Deadline()).ok());
  for (const char* const part : {"1", "2", "3"}) {
    const auto response = requester.Next(*call, Deadline());
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(TextOf(response->message), part);
    EXPECT_EQ(response->is_last, std::string(part) == "3");
  }
  EXPECT_TRUE(absl::IsNotFound(requester.Next(*call, Deadline()).status()));
}

TEST_F(CallTest, AServerSeesThatNobodyWaits) {
  Client client = NewClient();
  Requester requester = NewRequester(client);
  Responder responder = NewResponder(client);
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  const auto call = requester.Start(Bytes("never mind"));
  ASSERT_TRUE(call.ok()) << call.status();
  const auto incoming = responder.Next(Deadline());
  ASSERT_TRUE(incoming.ok()) << incoming.status();
  EXPECT_FALSE(incoming->IsCancelled());
  requester.Cancel(*call);
  EXPECT_TRUE(incoming->IsCancelled());
  EXPECT_EQ(requester.calls(), 0u);
}

TEST_F(CallTest, ACallThatIsNotAnsweredInTimeIsCancelled) {
  Client client = NewClient();
  Requester requester = NewRequester(client);
  Responder responder = NewResponder(client);
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  EXPECT_EQ(GetErrorReason(
                requester.Call(Bytes("x"), absl::Now() + absl::Milliseconds(1))
                    .status()),
            reason::kNoMessage);
  EXPECT_EQ(requester.calls(), 0u);
}

// Whether the descriptor is readable, at once or before long.
bool IsReadable(int descriptor, absl::Duration patience = kPatience) {
  pollfd wanted = {descriptor, POLLIN, 0};
  return poll(&wanted, 1,
              static_cast<int>(absl::ToInt64Milliseconds(patience))) == 1;
}

TEST_F(CallTest, PollIsWokenByRequestsResponsesAndDeaths) {
  Client client = NewClient();
  Requester requester = NewRequester(client);
  std::optional<Responder> responder = NewResponder(client);
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  const auto asks = requester.descriptor();
  const auto answers = responder->descriptor();
  ASSERT_TRUE(asks.ok() && answers.ok());
  // Each has yet to see that there is the other.
  while (!responder->Arm()) {
    responder->Next(absl::InfinitePast()).status().IgnoreError();
  }
  EXPECT_FALSE(IsReadable(*answers, absl::ZeroDuration()));
  const auto call = requester.Start(Bytes("x"));
  ASSERT_TRUE(call.ok()) << call.status();
  ASSERT_TRUE(IsReadable(*answers));
  responder->Disarm();
  auto incoming = responder->Next(Deadline());
  ASSERT_TRUE(incoming.ok()) << incoming.status();

  while (!requester.Arm()) {
    EXPECT_EQ(
        GetErrorReason(requester.NextOfAny(absl::InfinitePast()).status()),
        reason::kNoMessage);
  }
  EXPECT_FALSE(IsReadable(*asks, absl::ZeroDuration()));
  ASSERT_TRUE(incoming->Respond(Bytes("y"), Deadline()).ok());
  ASSERT_TRUE(IsReadable(*asks));
  requester.Disarm();
  auto response = requester.Next(*call, Deadline());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(TextOf(response->message), "y");
  EXPECT_FALSE(response->is_last);

  while (!requester.Arm()) {
    EXPECT_EQ(
        GetErrorReason(requester.NextOfAny(absl::InfinitePast()).status()),
        reason::kNoMessage);
  }
  incoming = absl::NotFoundError("let go");
  responder.reset();
  ASSERT_TRUE(IsReadable(*asks));
  requester.Disarm();
  EXPECT_FALSE(requester.Next(*call, Deadline()).ok());
  EXPECT_EQ(requester.calls(), 0u);
}

TEST_F(CallTest, CallersOfAKilledServerFailAndOthersGoOn) {
  Child victim([&](int say, int hear) {
    if (!Hear(hear)) return 1;
    Client client = NewClient();
    Responder responder = NewResponder(client);
    if (!Say(say)) return 2;
    const auto call = responder.Next(Deadline());
    if (!call.ok() || !Say(say)) return 3;
    pause();
    return 0;
  });
  Client client = NewClient();
  Requester requester = NewRequester(client);
  victim.Tell();
  ASSERT_TRUE(victim.Await());
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  const auto call = requester.Start(Bytes("x"));
  ASSERT_TRUE(call.ok()) << call.status();
  ASSERT_TRUE(victim.Await());
  const Serving other(client, &Shout);
  const absl::Time killed = absl::Now();
  victim.Kill();
  const auto response = requester.Next(*call, Deadline());
  EXPECT_EQ(GetErrorReason(response.status()), reason::kServerGone);
  printf("the caller knew after %s\n",
         absl::FormatDuration(absl::Now() - killed).c_str());
  ASSERT_TRUE(requester.AwaitServer(Deadline()).ok());
  const auto next = requester.Call(Bytes("y"), Deadline());
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(TextOf(*next), "Y");
}

}  // namespace
}  // namespace shmd::testing
