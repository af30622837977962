// What becomes of those who take part when the daemon is restarted.

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/channels.h"
#include "gtest/gtest.h"
#include "tests/client/channel_fixture.h"
#include "tests/testing/forked_child.h"

namespace shmd::testing {
namespace {

class KeptChannelTest : public ChannelTest {
 protected:
  void SetUp() override { StartServer({"--keeper"}); }

  void KillDaemon() {
    pid_t pid = 0;
    // None while the keeper is starting the next one.
    const absl::Time give_up = Deadline();
    while (pid <= 0 && absl::Now() < give_up) {
      std::ifstream(absl::StrCat("/proc/", server_->pid(), "/task/",
                                 server_->pid(), "/children")) >>
          pid;
    }
    ASSERT_GT(pid, 0);
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    ASSERT_TRUE(pidfd.valid());
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    pollfd end = {pidfd.get(), POLLIN, 0};
    ASSERT_EQ(
        poll(&end, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))),
        1);
  }
};

TEST_F(KeptChannelTest, MessagesFlowWhileTheDaemonIsRestarted) {
  Client writer = NewClient();
  Client reader = NewClient();
  Subscriber subscriber = NewSubscriber(reader);
  Publisher publisher = NewPublisher(writer);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> published{0};
  std::thread publishing([&] {
    while (!stop) {
      const auto number = publisher.Publish(
          Bytes(absl::StrCat(published.load())), {}, Deadline());
      ASSERT_TRUE(number.ok()) << number.status();
      ++published;
    }
    ASSERT_TRUE(publisher.Publish(Bytes("end"), {}, Deadline()).ok());
  });
  std::thread reading([&] {
    for (uint64_t i = 0;; ++i) {
      const auto message = subscriber.Receive(Deadline());
      ASSERT_TRUE(message.ok()) << message.status();
      if (TextOf(*message) == "end") break;
      ASSERT_EQ(TextOf(*message), absl::StrCat(i));
    }
  });
  for (int i = 0; i < 3; ++i) {
    const uint64_t before = published;
    Client client = NewClient();
    KillDaemon();
    // A newcomer needs the next daemon.
    Subscriber late = NewSubscriber(client, SlowPolicy::kDropOldest);
    const auto message = late.Receive(Deadline());
    EXPECT_TRUE(message.ok()) << message.status();
    // Who publishes may have yet to count it.
    const absl::Time give_up = Deadline();
    while (published <= before && absl::Now() < give_up) {
    }
    EXPECT_GT(published, before);
  }
  stop = true;
  publishing.join();
  reading.join();
}

// Who sleeps on the descriptor is woken by who has come since, whom another run
// of the daemon has given the other end.
TEST_F(KeptChannelTest, EpollIsWokenAfterARestart) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  const auto descriptor = subscriber.descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, *descriptor, &event), 0);
  // Of one that rings the first pipe already, and of those that come later.
  Client with_bell = NewClient();
  Publisher first = NewPublisher(with_bell);
  std::vector<Publisher> others;
  for (int i = 0; i < 3; ++i) {
    for (Publisher* const publisher :
         {&first, others.empty() ? &first : &others.back()}) {
      while (!subscriber.Arm()) {
        const auto message = subscriber.TryReceive();
        ASSERT_TRUE(message.ok()) << message.status();
      }
      ASSERT_TRUE(publisher->Publish(Bytes("x")).ok());
      // Others that look as well, as at the end of a daemon, do no harm.
      std::optional<ReceivedMessage> got;
      for (bool sleeps = true; !got.has_value();) {
        const int patience_ms =
            sleeps ? static_cast<int>(absl::ToInt64Milliseconds(kPatience)) : 0;
        ASSERT_EQ(
            epoll_wait(epoll.get(), &event, 1, patience_ms) > 0 || !sleeps,
            true);
        subscriber.Disarm();
        auto message = subscriber.TryReceive();
        ASSERT_TRUE(message.ok()) << message.status();
        got = *std::move(message);
        if (!got.has_value()) sleeps = subscriber.Arm();
      }
      EXPECT_EQ(TextOf(*got), "x");
    }
    Client newcomer = NewClient();
    KillDaemon();
    others.push_back(NewPublisher(newcomer));
  }
}

// Whom the daemon could not be asked for when a message came is rung for when
// it is back, whoever comes back to it first.
TEST_F(KeptChannelTest, EpollIsWokenByWhatWasPublishedMeanwhile) {
  Client client = NewClient();
  Subscriber subscriber = NewSubscriber(client);
  const auto descriptor = subscriber.descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.status();
  pollfd bell = {*descriptor, POLLIN, 0};
  for (int round = 0; round < 30; ++round) {
    // Has never rung.
    Client writer = NewClient();
    Publisher publisher = NewPublisher(writer);
    KillDaemon();
    std::thread publishing([&, round] {
      absl::SleepFor(round * absl::Milliseconds(6));
      const auto number = publisher.Publish(Bytes("x"), {}, Deadline());
      EXPECT_TRUE(number.ok()) << number.status();
    });
    std::optional<ReceivedMessage> got;
    while (!got.has_value()) {
      if (subscriber.Arm()) {
        const int patience_ms =
            static_cast<int>(absl::ToInt64Milliseconds(kPatience));
        EXPECT_EQ(poll(&bell, 1, patience_ms), 1) << round;
      }
      subscriber.Disarm();
      auto message = subscriber.TryReceive();
      EXPECT_TRUE(message.ok()) << message.status();
      if (!message.ok()) break;
      got = *std::move(message);
    }
    publishing.join();
    if (HasFailure()) return;
  }
}

// A daemon that dies when it has let somebody in is asked again, and knows.
TEST_F(KeptChannelTest, AJoinThatWasNotAnsweredIsOneMember) {
  const std::string file = ::testing::TempDir() + "/join_failpoints";
  std::ofstream(file) << "attach.send=kill@4";
  StartServer({"--keeper", absl::StrCat("--failpoints=@", file)});
  Client client = NewClient();
  // Hello was the first answer, of either client.
  Client other = NewClient();
  Subscriber subscriber = NewSubscriber(other);
  Publisher publisher = NewPublisher(client);
  ASSERT_TRUE(publisher.AwaitSubscribers(1, Deadline()).ok());
  const auto stats = client.GetChannelStats("it");
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->publishers.size(), 1);
  EXPECT_EQ(stats->subscribers.size(), 1);
  ASSERT_TRUE(publisher.Publish(Bytes("on")).ok());
  Expect(subscriber, "on");
}

// The next daemon knows who takes part, and whom to tell of an end.
TEST_F(KeptChannelTest, AnEndIsToldByTheNextDaemon) {
  Child victim([&](int say, int) { return HoldAJob(say); });
  Client client = NewClient();
  Publisher publisher = NewPublisher(client, ChannelKind::kQueue);
  ASSERT_TRUE(publisher.Publish(Bytes("job")).ok());
  ASSERT_TRUE(victim.Await());
  Consumer consumer = NewConsumer(client);
  KillDaemon();
  victim.Kill();
  auto job = consumer.Receive(Deadline());
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(job->Acknowledge().ok());
  const absl::Status drained = publisher.Drain(Deadline());
  EXPECT_TRUE(drained.ok()) << drained;
}

}  // namespace
}  // namespace shmd::testing
