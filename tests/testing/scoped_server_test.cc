#include "tests/testing/scoped_server.h"

#include <sys/stat.h>

#include "client/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shmd::testing {
namespace {

using ::testing::HasSubstr;

bool Exists(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0;
}

TEST(ScopedServerTest, LedgerSeesEveryKindOfObject) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  ConnectOptions options;
  options.socket_dir = (*server)->socket_dir();
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  const KernelLedger before = (*server)->Ledger();
  for (const BackendKind kind :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kSysv,
        BackendKind::kMappedFile}) {
    SegmentSpec spec;
    spec.id = BackendName(kind);
    spec.size_bytes = 4096;
    spec.backend = kind;
    if (kind == BackendKind::kPosix) {
      spec.posix_name = "/" + (*server)->token();
    }
    if (kind == BackendKind::kMappedFile) spec.file_path = "file";
    const auto made = client->Create(spec);
    ASSERT_TRUE(made.ok()) << made.status();
    // A memfd is made when somebody has it.
    ASSERT_TRUE(client->MapReadOnly(made->handle).ok());
  }
  const std::string leaks = DiffLedgers(before, (*server)->Ledger());
  EXPECT_THAT(leaks, HasSubstr("+ /memfd:"));
  EXPECT_THAT(leaks, HasSubstr("+ " + (*server)->token()));
  EXPECT_THAT(leaks, HasSubstr("+ shmid "));
  EXPECT_THAT(leaks, HasSubstr("+ " + (*server)->file_root() + "/file"));
}

TEST(ScopedServerTest, LeavesNothingBehind) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string folder = (*server)->socket_dir();
  const std::string object = "/dev/shm/" + (*server)->token();
  {
    ConnectOptions options;
    options.socket_dir = folder;
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    SegmentSpec spec;
    spec.size_bytes = 4096;
    spec.backend = BackendKind::kPosix;
    spec.posix_name = "/" + (*server)->token();
    ASSERT_TRUE(client->Create(spec).ok());
  }
  EXPECT_TRUE(Exists(object));
  (*server)->Kill();
  EXPECT_TRUE(Exists(object));
  server->reset();
  EXPECT_FALSE(Exists(object));
  EXPECT_FALSE(Exists(folder));
}

TEST(ScopedServerTest, ADaemonThatDoesNotStartIsAnError) {
  ScopedServer::Options options;
  options.flags = {"--no_such_flag"};
  const absl::Status status = ScopedServer::Start(options).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("no_such_flag"));
}

}  // namespace
}  // namespace shmd::testing
