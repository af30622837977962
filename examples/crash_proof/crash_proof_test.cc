#include <signal.h>

#include <fstream>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);

class CrashProofExample : public ::testing::Test {
 protected:
  void SetUp() override {
    ScopedServer::Options options;
    options.flags = {"--keeper"};
    auto server = ScopedServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ConnectOptions connect;
    connect.socket_dir = server_->socket_dir();
    connect.reconnect_timeout = kDeadline;
    auto client = Client::Connect(connect);
    ASSERT_TRUE(client.ok()) << client.status();
    client_.emplace(*std::move(client));
  }

  RunningProgram Start(const std::string& name, const std::string& argument) {
    return RunningProgram({Runfile("examples/crash_proof/" + name), argument},
                          {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  }

  void KillDaemon() {
    pid_t pid = 0;
    std::ifstream(absl::StrCat("/proc/", server_->pid(), "/task/",
                               server_->pid(), "/children")) >>
        pid;
    ASSERT_GT(pid, 0);
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }

  // Until the segment is gone, by asking again and again.
  bool EndsSoon(const std::string& id) {
    const absl::Time end = absl::Now() + kDeadline;
    while (GetErrorReason(client_->Get(id).status()) !=
           reason::kSegmentNotFound) {
      if (absl::Now() > end) return false;
    }
    return true;
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
};

TEST_F(CrashProofExample, UnfinishedWorkGoesWithItsWriter) {
  RunningProgram writer = Start("writer", "frame");
  ASSERT_EQ(writer.ReadLine(kDeadline).substr(0, 11), "begun shm1.");
  EXPECT_TRUE(client_->Get("frame").ok());
  writer.Kill();
  EXPECT_TRUE(EndsSoon("frame"));
}

TEST_F(CrashProofExample, FinishedWorkStaysAndReadersOutliveTheDaemon) {
  RunningProgram writer = Start("writer", "frame");
  const std::string begun = writer.ReadLine(kDeadline);
  ASSERT_EQ(begun.substr(0, 11), "begun shm1.");
  writer.Write("\n");
  ASSERT_EQ(writer.ReadLine(kDeadline), "sealed");
  RunningProgram reader = Start("reader", begun.substr(6));
  ASSERT_EQ(reader.ReadLine(kDeadline), "mapped");
  writer.Kill();

  for (int i = 0; i < 3; ++i) {
    KillDaemon();
    reader.Write("\n");
    EXPECT_EQ(reader.ReadLine(kDeadline), "first half, first half");
  }
  const auto frame = client_->Get("frame");
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->state, SegmentState::kSealed);
}

}  // namespace
}  // namespace shmd::testing
