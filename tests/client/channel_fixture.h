#ifndef SHMD_TESTS_CLIENT_CHANNEL_FIXTURE_H_
#define SHMD_TESTS_CLIENT_CHANNEL_FIXTURE_H_

#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/channels.h"
#include "gtest/gtest.h"
#include "tests/testing/forked_child.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {

inline constexpr absl::Duration kPatience = absl::Seconds(60);
inline constexpr uid_t kOtherUid = 12345;

inline absl::Time Deadline() { return absl::Now() + kPatience; }

inline absl::Span<const char> Bytes(const std::string& text) {
  return absl::MakeConstSpan(text);
}

inline std::string TextOf(const ReceivedMessage& message) {
  return std::string(message.data(), message.size_bytes());
}

class ChannelTest : public ::testing::Test {
 protected:
  void SetUp() override { StartServer({}); }

  void StartServer(std::vector<std::string> flags) {
    server_.reset();
    ScopedServer::Options options;
    options.flags = std::move(flags);
    auto server = ScopedServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Client NewClient() const {
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    options.reconnect_timeout = kPatience;
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static ChannelSpec Spec(ChannelKind kind = ChannelKind::kPublish) {
    ChannelSpec spec;
    spec.kind = kind;
    spec.slots = 8;
    spec.payload_bytes = 65536;
    return spec;
  }

  static Publisher NewPublisher(Client& client,
                                ChannelKind kind = ChannelKind::kPublish) {
    PublisherOptions options;
    options.create = Spec(kind);
    auto publisher = Publisher::Open(client, "it", options);
    EXPECT_TRUE(publisher.ok()) << publisher.status();
    return *std::move(publisher);
  }

  static Subscriber NewSubscriber(Client& client,
                                  SlowPolicy policy = SlowPolicy::kBlock) {
    SubscriberOptions options;
    options.policy = policy;
    options.create = Spec();
    auto subscriber = Subscriber::Open(client, "it", options);
    EXPECT_TRUE(subscriber.ok()) << subscriber.status();
    return *std::move(subscriber);
  }

  static Consumer NewConsumer(Client& client) {
    ConsumerOptions options;
    options.create = Spec(ChannelKind::kQueue);
    auto consumer = Consumer::Open(client, "it", options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  // In a process of its own: takes a job, says so, and has it until it is
  // killed.
  int HoldAJob(int say) const {
    Client client = NewClient();
    Consumer consumer = NewConsumer(client);
    const auto job = consumer.Receive(Deadline());
    if (!job.ok()) return 1;
    Say(say);
    pause();
    return 0;
  }

  static void Expect(Subscriber& subscriber, const std::string& text) {
    const auto message = subscriber.Receive(Deadline());
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(TextOf(*message), text);
  }

  std::unique_ptr<ScopedServer> server_;
};

}  // namespace shmd::testing

#endif  // SHMD_TESTS_CLIENT_CHANNEL_FIXTURE_H_
