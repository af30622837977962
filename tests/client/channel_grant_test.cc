// Who takes part in a channel by a grant.

#include <sys/mman.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/calls.h"
#include "client/cpp/channels.h"
#include "gtest/gtest.h"
#include "tests/client/channel_fixture.h"
#include "tests/testing/forked_child.h"

namespace shmd::testing {
namespace {

class ChannelGrantTest : public ChannelTest {
 protected:
  // Of another user; 0 when all went as it should.
  int UseGrants(const std::string& publisher_grant,
                const std::string& consumer_grant,
                const std::string& requester_grant) const {
    Client client = NewClient();
    SubscriberOptions wrong;
    wrong.grant = publisher_grant;
    if (GetErrorReason(Subscriber::Open(client, "it", wrong).status()) !=
        reason::kGrantInvalid) {
      return 20;
    }
    PublisherOptions publishing;
    publishing.grant = publisher_grant;
    publishing.create = Spec();  // which another's channel need not be like
    auto publisher = Publisher::Open(client, "it", publishing);
    if (!publisher.ok()) return 21;
    if (Publisher::Open(client, "it", publishing).ok()) return 22;
    if (!publisher->Publish(Bytes("hello")).ok()) return 23;
    if (!publisher->Drain(Deadline()).ok()) return 24;
    ConsumerOptions consuming;
    consuming.grant = consumer_grant;
    auto consumer = Consumer::Open(client, "jobs", consuming);
    if (!consumer.ok()) return 25;
    auto job = consumer->Receive(Deadline());
    if (!job.ok() || !job->Acknowledge().ok()) return 26;
    CallOptions calling;
    calling.grant = requester_grant;
    if (Responder::Open(client, "calls", calling).ok()) return 27;
    auto requester = Requester::Open(client, "calls", calling);
    if (!requester.ok()) return 28;
    const auto response = requester->Call(Bytes("echo"), Deadline());
    return response.ok() && TextOf(*response) == "echo" ? 0 : 29;
  }
};

TEST_F(ChannelGrantTest, AGrantLetsInAsItsRole) {
  // What the parent tells the child.
  struct Secrets {
    char publisher[512];
    char consumer[512];
    char requester[512];
  };
  auto* const secrets = static_cast<Secrets*>(
      mmap(nullptr, sizeof(Secrets), PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(secrets, MAP_FAILED);
  Child other([&](int, int hear) {
    if (!Hear(hear)) return 9;
    if (setresgid(kOtherUid, kOtherUid, kOtherUid) != 0) return 10;
    if (setresuid(kOtherUid, kOtherUid, kOtherUid) != 0) return 11;
    return UseGrants(secrets->publisher, secrets->consumer, secrets->requester);
  });
  Client client = NewClient();
  const auto grant = [&](const char* channel, ChannelKind kind, GrantRole role,
                         char* secret) {
    ASSERT_TRUE(client.CreateChannel(channel, Spec(kind)).ok());
    GrantSpec spec;
    spec.roles = {role};
    spec.max_uses = 1;
    const auto made = client.CreateChannelGrant(channel, spec);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->grant.roles, spec.roles);
    ASSERT_LT(made->handle.size(), sizeof(Secrets::publisher));
    std::strcpy(secret, made->handle.c_str());
  };
  grant("it", ChannelKind::kPublish, GrantRole::kPublisher, secrets->publisher);
  grant("jobs", ChannelKind::kQueue, GrantRole::kSubscriber, secrets->consumer);
  grant("calls", ChannelKind::kCall, GrantRole::kClient, secrets->requester);
  auto subscriber = Subscriber::Open(client, "it");
  auto publisher = Publisher::Open(client, "jobs");
  auto responder = Responder::Open(client, "calls");
  ASSERT_TRUE(subscriber.ok() && publisher.ok() && responder.ok());
  ASSERT_TRUE(publisher->Publish(Bytes("job")).ok());
  other.Tell();
  {
    // Released at once: the child drains.
    const auto got = subscriber->Receive(Deadline());
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(TextOf(*got), "hello");
  }
  auto call = responder->Next(Deadline());
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_TRUE(call->Finish(call->payload(), Deadline()).ok());
  EXPECT_EQ(other.Wait(), 0);
  for (const char* const channel : {"it", "jobs", "calls"}) {
    const auto grants = client.ListChannelGrants(channel);
    ASSERT_TRUE(grants.ok()) << grants.status();
    ASSERT_EQ(grants->size(), 1u);
    EXPECT_EQ(grants->front().uses, 1u) << channel;
    EXPECT_TRUE(client.DeleteGrant(grants->front().name).ok());
  }
}

}  // namespace
}  // namespace shmd::testing
