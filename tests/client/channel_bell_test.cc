// Who sleeps on a descriptor is woken by all that happens in the channel.

#include <poll.h>

#include <string>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/channels.h"
#include "gtest/gtest.h"
#include "tests/client/channel_fixture.h"
#include "tests/testing/forked_child.h"

namespace shmd::testing {
namespace {

bool IsReadable(int fd, absl::Duration patience) {
  pollfd wanted = {fd, POLLIN, 0};
  return poll(&wanted, 1,
              static_cast<int>(absl::ToInt64Milliseconds(patience))) == 1;
}

// Sleeps as who has looked at everything does.
template <typename Subscriber>
void Sleep(Subscriber& subscriber) {
  do {
    subscriber.Disarm();
    const auto message = subscriber.TryReceive();
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_FALSE(message->has_value());
  } while (!subscriber.Arm());
}

using ChannelBellTest = ChannelTest;

TEST_F(ChannelBellTest, TheEndOfAConsumerWakes) {
  Child victim([&](int say, int) { return HoldAJob(say); });
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  ASSERT_TRUE(publisher.Publish(Bytes("job")).ok());
  ASSERT_TRUE(victim.Await());
  Consumer consumer = NewConsumer(client);
  const auto descriptor = consumer.descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  Sleep(consumer);
  victim.Kill();
  ASSERT_TRUE(IsReadable(*descriptor, kPatience));
  consumer.Disarm();
  const auto job = consumer.Receive(Deadline());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(TextOf(*job), "job");
}

TEST_F(ChannelBellTest, WhatAnotherConsumerGivesBackWakes) {
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  Client of_other = NewClient();
  Consumer other = NewConsumer(of_other);
  Consumer twin = NewConsumer(client);
  Consumer consumer = NewConsumer(client);
  const auto descriptor = consumer.descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  ASSERT_TRUE(publisher.Publish(Bytes("job")).ok());
  for (Consumer* const giver : {&other, &twin}) {
    auto job = giver->Receive(Deadline());
    ASSERT_TRUE(job.ok()) << job.status();
    Sleep(consumer);
    ASSERT_TRUE(job->GiveBack().ok());
    ASSERT_TRUE(IsReadable(*descriptor, kPatience));
    consumer.Disarm();
  }
}

TEST_F(ChannelBellTest, TheEndOfTheChannelWakes) {
  Client client = NewClient();
  Publisher publisher = NewPublisher(client);
  Subscriber subscriber = NewSubscriber(client);
  const auto descriptor = subscriber.descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  Sleep(subscriber);
  // Has the pipe's other end from now on.
  ASSERT_TRUE(publisher.Publish(Bytes("ding")).ok());
  ASSERT_TRUE(IsReadable(*descriptor, kPatience));
  subscriber.Disarm();
  Expect(subscriber, "ding");
  Sleep(subscriber);
  ASSERT_TRUE(client.DeleteChannel("it", /*force=*/true).ok());
  ASSERT_TRUE(IsReadable(*descriptor, kPatience));
  subscriber.Disarm();
  EXPECT_EQ(GetErrorReason(subscriber.TryReceive().status()),
            reason::kChannelClosed);
}

}  // namespace
}  // namespace shmd::testing
