#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/calls.h"
#include "client/cpp/channels.h"
#include "gtest/gtest.h"
#include "tests/client/channel_fixture.h"
#include "tests/testing/forked_child.h"

namespace shmd::testing {
namespace {

TEST_F(ChannelTest, ChannelsAreMadeShownListedAndDeleted) {
  Client client = NewClient();
  ChannelSpec spec = Spec();
  spec.history = 3;
  spec.checksums = true;
  spec.mode = 0640;
  const auto made = client.CreateChannel("it", spec);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name, "namespaces/default/channels/it");
  EXPECT_EQ(made->id(), "it");
  EXPECT_EQ(made->slots, 8u);
  EXPECT_EQ(made->payload_bytes, 65536u);
  EXPECT_EQ(made->history, 3u);
  EXPECT_TRUE(made->checksums);
  EXPECT_EQ(made->mode, 0640u);
  EXPECT_EQ(GetErrorReason(client.CreateChannel("it", spec).status()),
            reason::kChannelExists);
  EXPECT_TRUE(client.CreateChannel("it", spec, true).ok());
  spec.slots = 16;
  EXPECT_EQ(GetErrorReason(client.CreateChannel("it", spec, true).status()),
            reason::kChannelExists);
  EXPECT_EQ(GetErrorReason(client.CreateChannel("a/b", spec).status()),
            reason::kChannelIdInvalid);
  const auto listed = client.ListChannels();
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ((*listed)[0].generation, made->generation);
  ASSERT_TRUE(client.DeleteChannel("it").ok());
  EXPECT_EQ(GetErrorReason(client.GetChannel("it").status()),
            reason::kChannelNotFound);
  EXPECT_EQ(GetErrorReason(Publisher::Open(client, "it").status()),
            reason::kChannelNotFound);
}

TEST_F(ChannelTest, WhatIsPublishedEverySubscriberGets) {
  Client writer = NewClient();
  Client reader = NewClient();
  Subscriber first = NewSubscriber(reader);
  Subscriber second = NewSubscriber(reader);
  Publisher publisher = NewPublisher(writer);
  const std::string metadata = "of it";
  MessageOptions options;
  options.metadata = Bytes(metadata);
  const auto published = publisher.Publish(Bytes("hello"), options);
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(*published, 0u);
  for (Subscriber* const subscriber : {&first, &second}) {
    const auto message = subscriber->Receive(Deadline());
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(TextOf(*message), "hello");
    EXPECT_EQ(
        std::string(message->metadata().data(), message->metadata().size()),
        metadata);
    EXPECT_EQ(message->number(), 0u);
  }
  EXPECT_EQ(GetErrorReason(first.Receive(absl::Now()).status()),
            reason::kNoMessage);
  const auto none = second.TryReceive();
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
}

TEST_F(ChannelTest, WhatIsBorrowedIsPublishedInPlace) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  auto loan = publisher.Borrow(100);
  ASSERT_TRUE(loan.ok()) << loan.status();
  std::fill(loan->span().begin(), loan->span().end(), 'b');
  loan->Shrink(7);
  ASSERT_TRUE(publisher.Publish(*std::move(loan)).ok());
  Expect(subscriber, "bbbbbbb");
  EXPECT_EQ(GetErrorReason(publisher.Borrow(65537).status()),
            reason::kMessageTooLarge);
}

TEST_F(ChannelTest, ManyMessagesAtOnce) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back(absl::StrCat("text ", i));
  std::vector<OutgoingMessage> messages;
  for (const std::string& text : texts) messages.push_back({Bytes(text), {}});
  std::thread publishing([&] {
    const auto published = publisher.PublishAll(messages, Deadline());
    ASSERT_TRUE(published.ok()) << published.status();
    EXPECT_EQ(*published, texts.size());
    EXPECT_TRUE(publisher.Drain(Deadline()).ok());
  });
  std::vector<std::string> got;
  while (got.size() < texts.size()) {
    const auto some = subscriber.ReceiveAll(5, Deadline());
    ASSERT_TRUE(some.ok()) << some.status();
    EXPECT_LE(some->size(), 5u);
    for (const ReceivedMessage& message : *some) {
      got.push_back(TextOf(message));
    }
  }
  publishing.join();
  EXPECT_EQ(got, texts);
}

TEST_F(ChannelTest, PublishersWaitForWhoBlocks) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(subscriber.Check().ok());
  EXPECT_EQ(subscriber.publishers(), 1u);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(publisher.Publish(Bytes("x"), {}, Deadline()).ok());
  }
  EXPECT_EQ(
      GetErrorReason(publisher.Publish(Bytes("x"), {}, absl::Now()).status()),
      reason::kChannelBlocked);
  EXPECT_EQ(GetErrorReason(publisher.Drain(absl::Now())),
            reason::kChannelBlocked);
  const auto stats = client.GetChannelStats("it");
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_EQ(stats->publishers.size(), 1u);
  ASSERT_EQ(stats->subscribers.size(), 1u);
  EXPECT_EQ(stats->publishers[0].published, 8u);
  EXPECT_EQ(stats->subscribers[0].lag, 8u);
  EXPECT_EQ(stats->subscribers[0].pid, getpid());
  std::thread reading([&] {
    for (int i = 0; i < 9; ++i) Expect(subscriber, "x");
  });
  EXPECT_TRUE(publisher.Publish(Bytes("x"), {}, Deadline()).ok());
  EXPECT_TRUE(publisher.Drain(Deadline()).ok());
  reading.join();
}

TEST_F(ChannelTest, WhoDropsTheOldestLearnsWhatItLost) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client, SlowPolicy::kDropOldest);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(publisher.AwaitSubscribers(1, Deadline()).ok());
  ASSERT_TRUE(publisher.Publish(Bytes("0")).ok());
  const auto held = subscriber.Receive(Deadline());
  ASSERT_TRUE(held.ok()) << held.status();
  for (int i = 1; i < 100; ++i) {
    ASSERT_TRUE(publisher.Publish(Bytes(absl::StrCat(i))).ok());
  }
  EXPECT_EQ(TextOf(*held), "0");
  uint64_t seen = 1;
  uint64_t lost = 0;
  for (std::string last; last != "99"; ++seen) {
    const auto message = subscriber.Receive(Deadline());
    ASSERT_TRUE(message.ok()) << message.status();
    last = TextOf(*message);
    lost += message->lost_before();
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(seen + lost, 100u);
  EXPECT_EQ(subscriber.lost(), lost);
}

TEST_F(ChannelTest, WhoIsCutOffIsToldSo) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client, SlowPolicy::kCutOff);
  Publisher publisher = NewPublisher(client);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(publisher.Publish(Bytes("x")).ok());
  }
  absl::Status status;
  while (status.ok()) status = subscriber.Receive(Deadline()).status();
  EXPECT_EQ(GetErrorReason(status), reason::kCutOff);
}

TEST_F(ChannelTest, WhoComesLateGetsTheHistory) {
  Client client = NewClient();
  ChannelSpec spec = Spec();
  spec.history = 2;
  PublisherOptions options;
  options.create = spec;
  auto publisher = Publisher::Open(client, "it", options);
  ASSERT_TRUE(publisher.ok()) << publisher.status();
  for (const char* const text : {"a", "b", "c"}) {
    ASSERT_TRUE(publisher->Publish(Bytes(text)).ok());
  }
  auto subscriber = Subscriber::Open(client, "it");
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();
  Expect(*subscriber, "b");
  Expect(*subscriber, "c");
}

TEST_F(ChannelTest, WaitAnySaysWhichHasSomething) {
  Client client = NewClient();
  Subscriber quiet = NewSubscriber(client);
  PublisherOptions options;
  options.create = Spec();
  auto publisher = Publisher::Open(client, "other", options);
  auto talks = Subscriber::Open(client, "other");
  ASSERT_TRUE(publisher.ok() && talks.ok());
  Subscriber* const both[] = {&quiet, &*talks};
  EXPECT_EQ(GetErrorReason(Subscriber::WaitAny(both, absl::Now()).status()),
            reason::kNoMessage);
  ASSERT_TRUE(publisher->AwaitSubscribers(1, Deadline()).ok());
  ASSERT_TRUE(publisher->Publish(Bytes("it")).ok());
  const auto which = Subscriber::WaitAny(both, Deadline());
  ASSERT_TRUE(which.ok()) << which.status();
  EXPECT_EQ(*which, 1u);
  Expect(*talks, "it");
}

TEST_F(ChannelTest, EpollIsWokenByMessages) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(publisher.AwaitSubscribers(1, Deadline()).ok());
  const auto descriptor = subscriber.descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted = {};
  wanted.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, *descriptor, &wanted), 0);
  // It has yet to see that there is a publisher.
  EXPECT_FALSE(subscriber.Arm());
  ASSERT_TRUE(subscriber.Check().ok());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(subscriber.Arm());
    epoll_event event = {};
    EXPECT_EQ(epoll_wait(epoll.get(), &event, 1, 0), 0);
    ASSERT_TRUE(publisher.Publish(Bytes("ding")).ok());
    ASSERT_EQ(
        epoll_wait(epoll.get(), &event, 1,
                   static_cast<int>(absl::ToInt64Milliseconds(kPatience))),
        1);
    EXPECT_FALSE(subscriber.Arm());
    subscriber.Disarm();
    Expect(subscriber, "ding");
  }
}

TEST_F(ChannelTest, QueuedWorkIsDoneByOneConsumerEach) {
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  constexpr int kJobs = 500;
  std::atomic<int> done{0};
  std::vector<std::set<std::string>> taken(2);
  std::vector<std::thread> consuming;
  for (std::set<std::string>& mine : taken) {
    consuming.emplace_back([&] {
      Client of_consumer = NewClient();
      Consumer consumer = NewConsumer(of_consumer);
      while (done < kJobs) {
        auto job = consumer.Receive(absl::Now() + absl::Milliseconds(10));
        if (!job.ok()) continue;
        EXPECT_TRUE(mine.insert(TextOf(*job)).second);
        const absl::Status acknowledged = job->Acknowledge();
        EXPECT_TRUE(acknowledged.ok()) << acknowledged;
        ++done;
      }
    });
  }
  for (int i = 0; i < kJobs; ++i) {
    ASSERT_TRUE(publisher.Publish(Bytes(absl::StrCat(i)), {}, Deadline()).ok());
  }
  const absl::Status drained = publisher.Drain(Deadline());
  EXPECT_TRUE(drained.ok()) << drained;
  for (std::thread& thread : consuming) thread.join();
  EXPECT_EQ(taken[0].size() + taken[1].size(), size_t{kJobs});
  for (const std::string& job : taken[0]) EXPECT_EQ(taken[1].count(job), 0u);
}

TEST_F(ChannelTest, AConsumerTakesManyAndWaitsForSeveralQueues) {
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  Consumer consumer = NewConsumer(client);
  ConsumerOptions options;
  options.create = Spec();
  options.create->kind = ChannelKind::kQueue;
  auto quiet = Consumer::Open(client, "other", options);
  ASSERT_TRUE(quiet.ok()) << quiet.status();
  Consumer* const both[] = {&*quiet, &consumer};
  EXPECT_EQ(GetErrorReason(Consumer::WaitAny(both, absl::Now()).status()),
            reason::kNoMessage);
  for (const char* job : {"a", "b", "c"}) {
    ASSERT_TRUE(publisher.Publish(Bytes(job)).ok());
  }
  const auto which = Consumer::WaitAny(both, Deadline());
  ASSERT_TRUE(which.ok()) << which.status();
  EXPECT_EQ(*which, 1u);
  auto two = consumer.ReceiveAll(2, Deadline());
  ASSERT_TRUE(two.ok()) << two.status();
  ASSERT_EQ(two->size(), 2u);
  EXPECT_EQ(TextOf((*two)[0]), "a");
  EXPECT_EQ(TextOf((*two)[1]), "b");
  // Another gets what is left, and what is given back.
  Consumer other = NewConsumer(client);
  EXPECT_TRUE((*two)[0].Acknowledge().ok());
  EXPECT_TRUE((*two)[1].GiveBack().ok());
  auto rest = other.ReceiveAll(9, Deadline());
  ASSERT_TRUE(rest.ok()) << rest.status();
  std::set<std::string> jobs;
  while (jobs.size() < 2) {
    for (ReceivedMessage& job : *rest) {
      jobs.insert(TextOf(job));
      EXPECT_TRUE(job.Acknowledge().ok());
    }
    if (jobs.size() < 2) rest = other.ReceiveAll(9, Deadline());
    ASSERT_TRUE(rest.ok()) << rest.status();
  }
  EXPECT_EQ(jobs, std::set<std::string>({"b", "c"}));
  EXPECT_TRUE(publisher.Drain(Deadline()).ok());
}

TEST_F(ChannelTest, WhatIsGivenBackIsOfferedAgain) {
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  Consumer first = NewConsumer(client);
  Consumer second = NewConsumer(client);
  ASSERT_TRUE(publisher.Publish(Bytes("job")).ok());
  auto job = first.Receive(Deadline());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(GetErrorReason(second.Receive(absl::Now()).status()),
            reason::kNoMessage);
  ASSERT_TRUE(job->GiveBack().ok());
  auto again = second.Receive(Deadline());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(TextOf(*again), "job");
  ASSERT_TRUE(again->Acknowledge().ok());
  EXPECT_TRUE(publisher.Drain(Deadline()).ok());
}

TEST_F(ChannelTest, WorkOutlivesWhoMadeItAndWhoWasAtIt) {
  Child worker([&](int say, int) { return HoldAJob(say); });
  Client client = NewClient();
  {
    Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(publisher.Publish(Bytes(absl::StrCat(i))).ok());
    }
    ASSERT_TRUE(worker.Await());
  }
  worker.Kill();
  const absl::Time give_up = Deadline();
  while (absl::Now() < give_up) {
    const auto channel = client.GetChannel("it");
    ASSERT_TRUE(channel.ok()) << channel.status();
    if (channel->subscribers == 0) break;
  }
  Consumer consumer = NewConsumer(client);
  for (int i = 0; i < 8; ++i) {
    auto job = consumer.Receive(Deadline());
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(TextOf(*job), absl::StrCat(i));
    EXPECT_TRUE(job->Acknowledge().ok());
  }
}

TEST_F(ChannelTest, AKilledSubscriberHoldsNobodyUp) {
  Child victim([&](int say, int) {
    Client client = NewClient();
    Subscriber subscriber = NewSubscriber(client);
    const auto message = subscriber.Receive(Deadline());
    if (!message.ok()) return 1;
    Say(say);
    pause();
    return 0;
  });
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(publisher.AwaitSubscribers(2, Deadline()).ok());
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(publisher.Publish(Bytes("x"), {}, Deadline()).ok());
    Expect(subscriber, "x");
  }
  ASSERT_TRUE(victim.Await());
  EXPECT_EQ(
      GetErrorReason(publisher.Publish(Bytes("x"), {}, absl::Now()).status()),
      reason::kChannelBlocked);
  const absl::Time killed = absl::Now();
  victim.Kill();
  const auto published = publisher.Publish(Bytes("on"), {}, Deadline());
  ASSERT_TRUE(published.ok()) << published.status();
  Expect(subscriber, "on");
  printf("the next message came after %s\n",
         absl::FormatDuration(absl::Now() - killed).c_str());
}

TEST_F(ChannelTest, WhatAKilledPublisherHadPublishedIsRead) {
  Child victim([&](int say, int hear) {
    if (!Hear(hear)) return 2;
    Client of_victim = NewClient();
    Publisher publisher = NewPublisher(of_victim);
    for (int i = 0; i < 3; ++i) {
      if (!publisher.Publish(Bytes(absl::StrCat(i))).ok()) return 1;
    }
    // Never seen.
    const auto loan = publisher.Borrow(100);
    Say(say);
    pause();
    return 0;
  });
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher other = NewPublisher(client);
  victim.Tell();
  ASSERT_TRUE(victim.Await());
  Expect(subscriber, "0");
  victim.Kill();
  Expect(subscriber, "1");
  Expect(subscriber, "2");
  ASSERT_TRUE(other.Publish(Bytes("on")).ok());
  Expect(subscriber, "on");
}

TEST_F(ChannelTest, WhatAKilledConsumerHeldAnotherGets) {
  Child victim([&](int say, int) { return HoldAJob(say); });
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  ASSERT_TRUE(publisher.Publish(Bytes("job")).ok());
  ASSERT_TRUE(victim.Await());
  Consumer consumer = NewConsumer(client);
  EXPECT_EQ(GetErrorReason(consumer.Receive(absl::Now()).status()),
            reason::kNoMessage);
  victim.Kill();
  auto job = consumer.Receive(Deadline());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(TextOf(*job), "job");
  ASSERT_TRUE(job->Acknowledge().ok());
  EXPECT_TRUE(publisher.Drain(Deadline()).ok());
}

TEST_F(ChannelTest, WhomTheModeDoesNotLetInIsRefused) {
  Child other([&](int, int hear) {
    if (!Hear(hear)) return 9;
    if (setresgid(kOtherUid, kOtherUid, kOtherUid) != 0) return 10;
    if (setresuid(kOtherUid, kOtherUid, kOtherUid) != 0) return 11;
    Client of_other = NewClient();
    const auto refused = [](const absl::Status& status) {
      return GetErrorReason(status) == reason::kCallerNotAllowed;
    };
    if (!refused(Subscriber::Open(of_other, "it").status())) return 12;
    if (!refused(Publisher::Open(of_other, "it").status())) return 13;
    if (!refused(Publisher::Open(of_other, "open").status())) return 14;
    if (!refused(of_other.DeleteChannel("open"))) return 15;
    if (!refused(of_other.GetChannelStats("it").status())) return 16;
    return Subscriber::Open(of_other, "open").ok() ? 0 : 17;
  });
  Client client = NewClient();
  ASSERT_TRUE(client.CreateChannel("it", Spec()).ok());
  ChannelSpec open = Spec();
  open.mode = 0644;
  ASSERT_TRUE(client.CreateChannel("open", open).ok());
  other.Tell();
  EXPECT_EQ(other.Wait(), 0);
}

TEST_F(ChannelTest, ADeletedChannelIsClosedOnceItIsRead) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(publisher.AwaitSubscribers(1, Deadline()).ok());
  ASSERT_TRUE(publisher.Publish(Bytes("last")).ok());
  const auto held = subscriber.Receive(Deadline());
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(GetErrorReason(client.DeleteChannel("it")), reason::kChannelInUse);
  std::thread waiting([&] {
    EXPECT_EQ(GetErrorReason(subscriber.Receive(Deadline()).status()),
              reason::kChannelClosed);
  });
  ASSERT_TRUE(client.DeleteChannel("it", /*force=*/true).ok());
  waiting.join();
  EXPECT_EQ(TextOf(*held), "last");
  EXPECT_EQ(GetErrorReason(publisher.Check()), reason::kChannelClosed);
  EXPECT_EQ(GetErrorReason(publisher.Publish(Bytes("x")).status()),
            reason::kChannelClosed);
}

TEST_F(ChannelTest, AWatchTellsWhoComesAndGoes) {
  Client client = NewClient();
  ASSERT_TRUE(client.CreateChannel("it", Spec()).ok());
  ChannelWatchOptions options;
  std::vector<std::string> told;
  std::thread joining;
  const absl::Status watched =
      client.WatchChannels(options, [&](const ChannelWatchEvent& event) {
        if (event.type == ChannelWatchEvent::Type::kSynced) {
          joining = std::thread([&] {
            { const Publisher publisher = NewPublisher(client); }
            EXPECT_TRUE(client.DeleteChannel("it").ok());
          });
        }
        told.push_back(
            absl::StrCat(ChannelWatchEventTypeName(event.type),
                         event.channel.has_value()
                             ? absl::StrCat(" ", event.channel->id(), " ",
                                            event.channel->publishers)
                             : ""));
        return event.type != ChannelWatchEvent::Type::kDeleted;
      });
  joining.join();
  EXPECT_TRUE(watched.ok()) << watched;
  EXPECT_EQ(told,
            (std::vector<std::string>{"CHANGED it 0", "SYNCED", "CHANGED it 1",
                                      "CHANGED it 0", "DELETED it 0"}));
}

TEST_F(ChannelTest, WhoTakesPartLearnsThatTheChannelIsLost) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(publisher.AwaitSubscribers(1, Deadline()).ok());
  ASSERT_TRUE(subscriber.Check().ok());
  server_->Kill();
  // Who knows each other needs no daemon.
  ASSERT_TRUE(publisher.Publish(Bytes("on")).ok());
  Expect(subscriber, "on");
  std::thread waiting([&] {
    EXPECT_EQ(GetErrorReason(subscriber.Receive(Deadline()).status()),
              reason::kServerUnreachable);
  });
  ASSERT_TRUE(server_->Restart().ok());
  waiting.join();
  EXPECT_TRUE(absl::IsUnavailable(subscriber.Check()));
  EXPECT_EQ(GetErrorReason(publisher.Publish(Bytes("x")).status()),
            reason::kServerUnreachable);
  Subscriber again = NewSubscriber(client);
  Publisher publisher_again = NewPublisher(client);
  ASSERT_TRUE(publisher_again.Publish(Bytes("anew")).ok());
  Expect(again, "anew");
}

TEST_F(ChannelTest, NothingIsLeftWhenAllAreGone) {
  const KernelLedger before = server_->Ledger();
  {
    Client client = NewClient();
    Subscriber subscriber = NewSubscriber(client);
    Publisher publisher = NewPublisher(client);
    ASSERT_TRUE(publisher.Publish(Bytes("x")).ok());
    Expect(subscriber, "x");
    ASSERT_TRUE(subscriber.descriptor().ok());
  }
  Client client = NewClient();
  ASSERT_TRUE(client.DeleteChannel("it").ok());
  const absl::Time give_up = Deadline();
  while (!DiffLedgers(before, server_->Ledger()).empty() &&
         absl::Now() < give_up) {
  }
  EXPECT_EQ(DiffLedgers(before, server_->Ledger()), "");
}

}  // namespace
}  // namespace shmd::testing
