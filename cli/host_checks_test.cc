#include "cli/host_checks.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "shm/sys/socket.h"

namespace shmd::cli {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

TEST(HostChecksTest, SpaceIsWellUntilATenthIsLeft) {
  EXPECT_EQ(CheckSpace("/s", 1000 * kMiB, 101 * kMiB).advice, "");
  EXPECT_THAT(CheckSpace("/s", 1000 * kMiB, 99 * kMiB).advice,
              HasSubstr("`shm gc`"));
  EXPECT_THAT(CheckSpace("/s", 64 * kMiB, 64 * kMiB).advice,
              HasSubstr("--shm-size"));
  EXPECT_EQ(CheckSpace("/s", 1000 * kMiB, 500 * kMiB).finding,
            "500 MiB left of 1000 MiB");
}

TEST(HostChecksTest, LimitsOfTheDaemonAreRead) {
  const std::string limits =
      "Limit                     Soft Limit           Hard Limit           "
      "Units     \n"
      "Max open files            1024                 20000                "
      "files     \n"
      "Max locked memory         8388608              unlimited            "
      "bytes     \n";
  std::vector<Check> checks = CheckProcessLimits(limits);
  ASSERT_EQ(checks.size(), 2u);
  EXPECT_EQ(checks[0].finding, "1024");
  EXPECT_THAT(checks[0].advice, HasSubstr("LimitNOFILE"));
  EXPECT_THAT(checks[1].finding, HasSubstr("8 MiB"));
  EXPECT_EQ(checks[1].advice, "");
  checks = CheckProcessLimits(
      "Max open files            20000   20000   files\n"
      "Max locked memory         unlimited   unlimited   bytes\n");
  EXPECT_EQ(checks[0].advice, "");
  EXPECT_EQ(checks[1].finding, "unlimited");
  EXPECT_TRUE(CheckProcessLimits("").empty());
}

TEST(HostChecksTest, SocketsTellWhoMayConnect) {
  // A socket's path is short, and TEST_TMPDIR may not be.
  std::string folder = "/tmp/shm-checks-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  ASSERT_EQ(chmod(folder.c_str(), 0755), 0);
  EXPECT_THAT(CheckSockets(folder)[0].advice, HasSubstr("start shmd"));
  const auto socket =
      sys::ListenUnix(folder + "/grpc.sock", sys::SocketType::kStream, 0660);
  ASSERT_TRUE(socket.ok()) << socket.status();
  std::vector<Check> checks = CheckSockets(folder);
  EXPECT_EQ(checks.size(), 2u);
  EXPECT_EQ(checks[0].finding, "mode 0660: owner and group may connect");
  EXPECT_EQ(checks[0].advice, "");
  EXPECT_NE(checks[1].advice, "");
  ASSERT_EQ(chmod(folder.c_str(), 0777), 0);
  checks = CheckSockets(folder);
  ASSERT_EQ(checks.size(), 3u);
  EXPECT_THAT(checks[2].advice, HasSubstr("chmod 0755"));
  unlink((folder + "/grpc.sock").c_str());
  rmdir(folder.c_str());
}

TEST(HostChecksTest, WhatIsUsedUpIsTold) {
  Node node;
  node.budget_bytes = 100 * kMiB;
  node.segment_bytes = 95 * kMiB;
  node.cgroup_available_bytes = kMiB;
  node.huge_page_pools = {{2 * kMiB, 4, 0}, {1024 * kMiB, 0, 0}};
  const std::vector<Check> checks = CheckNode(node);
  ASSERT_EQ(checks.size(), 4u);
  EXPECT_THAT(checks[0].advice, HasSubstr("--budget_bytes"));
  EXPECT_THAT(checks[1].advice, HasSubstr("memory limit"));
  EXPECT_THAT(checks[2].advice, HasSubstr("vm.nr_hugepages"));
  EXPECT_EQ(checks[3].advice, "") << "who wants none has none";
}

TEST(HostChecksTest, TheHostIsLookedAt) {
  std::vector<std::string> subjects;
  for (const Check& check : CheckHost()) subjects.push_back(check.subject);
  EXPECT_THAT(subjects, ::testing::ElementsAre("/dev/shm", "System V",
                                               "transparent huge pages"));
}

}  // namespace
}  // namespace shmd::cli
