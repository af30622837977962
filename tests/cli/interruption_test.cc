#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

// Files are copied in chunks of 4 MiB, each of which takes a while here.
constexpr char kSlowCopy[] = "client.moved=sleep:200";
constexpr size_t kFileBytes = 100 << 20;

class InterruptionTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    folder_ = absl::StrCat(getenv("TEST_TMPDIR"), "/", server_->token());
    fs::create_directory(folder_);
    std::ofstream(folder_ + "/file").close();
    fs::resize_file(folder_ + "/file", kFileBytes);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What $shm, which a test's script runs, has done when the script's `begun`
  // succeeds and it gets the signal. `set -m`: the shell has what runs beside
  // it ignore SIGINT otherwise.
  ProgramEnd Interrupted(const std::string& verb, const std::string& begun) {
    return RunProgram(
        {"/bin/bash", "-c",
         absl::StrCat("set -m; SHMD_FAILPOINTS=", kSlowCopy, " $shm ", verb,
                      " & for ((i = 0; i < 1000; i++)); do ", begun,
                      " && break; sleep 0.02; done; kill -", GetParam(),
                      " $!; wait $!; echo $?")},
        {{"SHMD_SOCKET_DIR", server_->socket_dir()},
         {"shm", Runfile("cli/shm")},
         {"folder", folder_}});
  }

  std::string ExpectedCode() const {
    return GetParam() == std::string("INT") ? "130\n" : "143\n";
  }

  std::unique_ptr<ScopedServer> server_;
  std::string folder_;
};

TEST_P(InterruptionTest, HalfAPutLeavesNoSegment) {
  const ProgramEnd end =
      Interrupted("put $folder/file half", "[[ $($shm ls -q) == half ]]");
  EXPECT_EQ(end.out, ExpectedCode()) << end.err;
  EXPECT_THAT(end.err, HasSubstr("shm: "));
  const ProgramEnd left =
      RunProgram({Runfile("cli/shm"), "ls", "-q"},
                 {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  EXPECT_EQ(left.exit_code, 0) << left.err;
  EXPECT_EQ(left.out, "");
}

TEST_P(InterruptionTest, HalfAGetLeavesNoFile) {
  const ProgramEnd put =
      RunProgram({Runfile("cli/shm"), "put", folder_ + "/file", "it"},
                 {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  const ProgramEnd end =
      Interrupted("get it $folder/copy", "[[ $(ls -A $folder) == *.copy* ]]");
  EXPECT_EQ(end.out, ExpectedCode()) << end.err;
  EXPECT_EQ(
      std::distance(fs::directory_iterator(folder_), fs::directory_iterator()),
      1);
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptionTest,
                         ::testing::Values("INT", "TERM"));

}  // namespace
}  // namespace shmd::testing
