#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr uid_t kOtherUid = 12345;

// A daemon whose keeper starts it again.
class ReconnectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ScopedServer::Options options;
    options.flags = {"--keeper"};
    auto server = ScopedServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto client = NewClient();
    ASSERT_TRUE(client.ok()) << client.status();
    client_.emplace(*std::move(client));
  }

  absl::StatusOr<Client> NewClient() {
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    options.reconnect_timeout = kDeadline;
    return Client::Connect(options);
  }

  absl::StatusOr<Segment> Make(const std::string& id,
                               Lifetime lifetime = Lifetime::kUntilDeleted) {
    SegmentSpec spec;
    spec.id = id;
    spec.size_bytes = 4096;
    spec.lifetime = lifetime;
    return client_->Create(spec);
  }

  // The daemon is the only child of its keeper.
  pid_t DaemonPid() const {
    pid_t pid = 0;
    std::ifstream(absl::StrCat("/proc/", server_->pid(), "/task/",
                               server_->pid(), "/children")) >>
        pid;
    return pid;
  }

  // Returns once it has ended; its successor may not be there yet.
  void KillDaemon() {
    const pid_t pid = DaemonPid();
    ASSERT_GT(pid, 0);
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    ASSERT_TRUE(pidfd.valid());
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    pollfd end = {pidfd.get(), POLLIN, 0};
    ASSERT_EQ(poll(&end, 1, absl::ToInt64Milliseconds(kDeadline)), 1);
  }

  // Asks again and again, which is all the pause that there is.
  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    const absl::Time end = absl::Now() + kDeadline;
    while (!condition()) {
      if (absl::Now() > end) return false;
    }
    return true;
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
};

TEST_F(ReconnectTest, AKilledDaemonDisturbsNothing) {
  const auto segment = Make("it");
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto mapping = client_->MapWritable(segment->handle);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  strcpy(mapping->bytes().data(), "before");
  const std::string session = client_->session_name();
  EXPECT_EQ(session.rfind("sessions/", 0), 0u) << session;

  KillDaemon();
  EXPECT_STREQ(mapping->bytes().data(), "before");
  strcpy(mapping->bytes().data(), "while away");
  const auto again = client_->MapReadOnly(segment->handle);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_STREQ(again->bytes().data(), "while away");
  EXPECT_EQ(again->generation(), segment->generation);
  EXPECT_EQ(client_->session_name(), session);
  EXPECT_TRUE(mapping->is_attached());

  const auto found = client_->Get("it");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->uid, segment->uid);
  EXPECT_EQ(found->generation, segment->generation);
  EXPECT_EQ(found->status->attachment_count, 2u);
  const auto described = client_->GetSession(session);
  ASSERT_TRUE(described.ok()) << described.status();
  EXPECT_EQ(described->state, SessionState::kConnected);
  EXPECT_EQ(described->holding_count, 2u);
  EXPECT_TRUE(Make("next").ok());
}

TEST_F(ReconnectTest, ItComesBackWithoutACall) {
  const auto segment = Make("it");
  ASSERT_TRUE(segment.ok()) << segment.status();
  const auto mapping = client_->MapReadOnly(segment->handle);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  auto observer = NewClient();
  ASSERT_TRUE(observer.ok()) << observer.status();
  KillDaemon();
  EXPECT_TRUE(Eventually([&] {
    const auto session = observer->GetSession(client_->session_name());
    return session.ok() && session->state == SessionState::kConnected &&
           session->holding_count == 1;
  }));
}

TEST_F(ReconnectTest, DetachesWhileTheDaemonIsAwayCount) {
  const auto segment = Make("it");
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto kept = client_->MapReadOnly(segment->handle);
  auto dropped = client_->MapReadOnly(segment->handle);
  ASSERT_TRUE(kept.ok() && dropped.ok());
  KillDaemon();
  *dropped = ReadOnlyAttached();
  EXPECT_TRUE(Eventually([&] {
    const auto found = client_->Get("it");
    return found.ok() && found->status->attachment_count == 1;
  }));
  EXPECT_EQ(GetErrorReason(client_->Delete("it")), reason::kSegmentInUse);
  *kept = ReadOnlyAttached();
  EXPECT_TRUE(client_->Delete("it").ok());
}

TEST_F(ReconnectTest, WhatIsGoneIsToldAndItsMappingStays) {
  const auto segment = Make("it");
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto mapping = client_->MapWritable(segment->handle);
  ASSERT_TRUE(mapping.ok());
  strcpy(mapping->bytes().data(), "mine");
  DeleteOptions force;
  force.force = true;
  ASSERT_TRUE(client_->Delete("it", force).ok());
  EXPECT_TRUE(mapping->is_attached());
  KillDaemon();
  EXPECT_TRUE(Eventually([&] { return !mapping->is_attached(); }));
  EXPECT_STREQ(mapping->bytes().data(), "mine");
}

TEST_F(ReconnectTest, WhatTheSessionOwnsLivesOnAndEndsWithIt) {
  const auto owned = Make("owned", Lifetime::kSession);
  ASSERT_TRUE(owned.ok()) << owned.status();
  EXPECT_EQ(owned->owner_session, client_->session_name());
  const auto unfinished = Make("unfinished", Lifetime::kSessionUntilSealed);
  const auto finished = Make("finished", Lifetime::kSessionUntilSealed);
  ASSERT_TRUE(unfinished.ok() && finished.ok());
  ASSERT_TRUE(client_->Seal("finished").ok());
  auto observer = NewClient();
  ASSERT_TRUE(observer.ok());

  KillDaemon();
  const auto after = Make("after", Lifetime::kSession);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->owner_session, owned->owner_session);
  for (const char* id : {"owned", "unfinished", "finished"}) {
    const auto found = observer->Get(id);
    EXPECT_TRUE(found.ok()) << id << ": " << found.status();
  }

  client_.reset();
  for (const char* id : {"owned", "unfinished", "after"}) {
    EXPECT_TRUE(Eventually([&] {
      return GetErrorReason(observer->Get(id).status()) ==
             reason::kSegmentNotFound;
    })) << id;
  }
  EXPECT_TRUE(observer->Get("finished").ok());
}

TEST_F(ReconnectTest, NoCallOfManyThreadsFails) {
  const auto shared = Make("shared");
  ASSERT_TRUE(shared.ok()) << shared.status();
  constexpr int kThreads = 4;
  constexpr int kKills = 3;
  std::atomic<bool> stop = false;
  std::atomic<int> created = 0;
  absl::Mutex mutex;
  std::vector<std::string> failures;
  const auto note = [&](const char* what, const absl::Status& status) {
    if (status.ok()) return;
    absl::MutexLock lock(&mutex);
    failures.push_back(absl::StrCat(what, ": ", status.ToString()));
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; !stop; ++round) {
        SegmentSpec spec;
        spec.id = absl::StrCat("t", i, "-", round);
        spec.size_bytes = 4096;
        note("create", client_->Create(spec).status());
        ++created;
        note("get", client_->Get("shared").status());
        note("map", client_->MapReadOnly(shared->handle).status());
      }
    });
  }
  for (int i = 0; i < kKills; ++i) {
    const int seen = created;
    EXPECT_TRUE(Eventually([&] {
      std::this_thread::yield();
      return created >= seen + 2 * kThreads;
    }));
    KillDaemon();
  }
  // The last successor has served all threads.
  const int seen = created;
  EXPECT_TRUE(Eventually([&] {
    std::this_thread::yield();
    return created >= seen + 2 * kThreads;
  }));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(failures.empty())
      << failures.size() << ", first: " << failures.front();
  const auto all = client_->List();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->size(), static_cast<size_t>(created) + 1);
}

TEST_F(ReconnectTest, LeasesAreRenewedAcrossARestart) {
  SegmentSpec spec;
  spec.id = "leased";
  spec.size_bytes = 4096;
  spec.ttl = absl::Hours(1);
  const auto made = client_->Create(spec);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->lease_ttl, absl::Hours(1));
  KillDaemon();
  const auto renewed = client_->RenewLease("leased");
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_GT(*renewed->expire_time, *made->expire_time);
  const auto longer = client_->RenewLease("leased", absl::Hours(2));
  ASSERT_TRUE(longer.ok()) << longer.status();
  EXPECT_GE(*longer->expire_time, *renewed->expire_time + absl::Minutes(59));
  ASSERT_TRUE(Make("endless").ok());
  EXPECT_EQ(GetErrorReason(client_->RenewLease("endless").status()),
            reason::kLeaseMissing);
}

TEST_F(ReconnectTest, AGrantLetsAnotherUserInAgain) {
  const auto segment = Make("it");
  ASSERT_TRUE(segment.ok()) << segment.status();
  GrantSpec spec;
  spec.uid = kOtherUid;
  const auto made = client_->CreateGrant("it", spec);
  ASSERT_TRUE(made.ok()) << made.status();
  // Attaches, waits for a byte, and attaches once more.
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(pipe_ends[1]);
    if (setresgid(kOtherUid, kOtherUid, kOtherUid) != 0) _exit(10);
    if (setresuid(kOtherUid, kOtherUid, kOtherUid) != 0) _exit(11);
    auto client = NewClient();
    if (!client.ok()) _exit(12);
    if (client->MapReadOnly(segment->handle).ok()) _exit(13);
    const auto mapping = client->MapReadOnly(made->handle);
    if (!mapping.ok()) _exit(14);
    char byte;
    if (read(pipe_ends[0], &byte, 1) != 1) _exit(15);
    if (!client->MapReadOnly(made->handle).ok()) _exit(16);
    _exit(mapping->is_attached() ? 0 : 17);
  }
  close(pipe_ends[0]);
  EXPECT_TRUE(Eventually([&] {
    const auto grants = client_->ListGrants("it");
    return grants.ok() && grants->size() == 1 && (*grants)[0].uses == 1;
  }));
  KillDaemon();
  ASSERT_EQ(write(pipe_ends[1], "x", 1), 1);
  close(pipe_ends[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
  const absl::Status first = client_->DeleteGrant(made->grant.name);
  EXPECT_TRUE(first.ok()) << first;
  const absl::Status second = client_->DeleteGrant(made->grant.name);
  EXPECT_EQ(GetErrorReason(second), reason::kGrantNotFound) << second;
}

}  // namespace
}  // namespace shmd::testing
