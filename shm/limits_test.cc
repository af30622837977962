#include "shm/limits.h"

#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"
#include "shm/cgroup_limits.h"

namespace shmd {
namespace {

// A cgroup tree made of ordinary files.
class CgroupTree : public ::testing::Test {
 protected:
  CgroupTree() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/cgroupXXXXXX");
    root_ = mkdtemp(pattern.data());
  }
  ~CgroupTree() override {
    const std::string command = absl::StrCat("rm -rf '", root_, "'");
    if (system(command.c_str()) != 0) ADD_FAILURE() << command;
  }

  void Write(const std::string& path, const std::string& text) {
    const std::string full = absl::StrCat(root_, "/", path);
    const std::string folder = full.substr(0, full.rfind('/'));
    ASSERT_EQ(system(absl::StrCat("mkdir -p '", folder, "'").c_str()), 0);
    std::ofstream(full) << text << "\n";
  }

  std::string V2Mounts() const {
    return absl::StrCat("cgroup2 ", root_, " cgroup2 rw,nosuid 0 0\n");
  }
  std::string V1Mounts() const {
    return absl::StrCat("cgroup ", root_, " cgroup rw,memory 0 0\n");
  }

  std::string root_;
};

TEST_F(CgroupTree, LeastRoomOfAllAncestorsCounts) {
  Write("pod/memory.max", "1000");
  Write("pod/memory.current", "400");
  Write("pod/app/memory.max", "max");
  Write("pod/app/memory.current", "10");
  EXPECT_EQ(CgroupAvailableBytes("0::/pod/app\n", V2Mounts()), 600u);
  Write("pod/app/memory.max", "200");
  EXPECT_EQ(CgroupAvailableBytes("0::/pod/app\n", V2Mounts()), 190u);
}

TEST_F(CgroupTree, UseBeyondTheLimitIsNoRoom) {
  Write("app/memory.max", "100");
  Write("app/memory.current", "150");
  EXPECT_EQ(CgroupAvailableBytes("0::/app\n", V2Mounts()), 0u);
}

TEST_F(CgroupTree, VersionOneNumberForNoLimitIsNoLimit) {
  Write("a/memory.limit_in_bytes", "9223372036854771712");
  Write("a/memory.usage_in_bytes", "5");
  EXPECT_EQ(CgroupAvailableBytes("3:memory:/a\n", V1Mounts()), std::nullopt);
  Write("a/memory.limit_in_bytes", "100");
  EXPECT_EQ(CgroupAvailableBytes("3:memory:/a\n", V1Mounts()), 95u);
}

TEST_F(CgroupTree, OwnCgroupAtTheMountRootCountsInsideAContainer) {
  Write("memory.max", "100");
  Write("memory.current", "30");
  EXPECT_EQ(CgroupAvailableBytes("0::/not/visible/here\n", V2Mounts()), 70u);
}

TEST(LimitsTest, MemoryBeyondTheHostIsRefusedWithNumbers) {
  const absl::StatusOr<uint64_t> available = ReadMemoryAvailableBytes();
  ASSERT_TRUE(available.ok());
  EXPECT_GT(*available, 0u);
  const absl::Status status = CheckMemory(uint64_t{1} << 60, 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const ErrorDetail detail = GetErrorDetail(status);
  EXPECT_EQ(detail.reason, "MEMORY_EXHAUSTED");
  EXPECT_EQ(detail.metadata.at("requested"), "1152921504606846976");
  EXPECT_EQ(detail.metadata.count("available"), 1u);
  EXPECT_TRUE(CheckMemory(4096, 0).ok());
}

TEST(LimitsTest, SpaceBeyondTheFileSystemIsRefused) {
  EXPECT_EQ(GetErrorReason(CheckPosixSpace(uint64_t{1} << 60)),
            "SHM_SPACE_EXHAUSTED");
  EXPECT_EQ(GetErrorReason(CheckFileSpace("/tmp", uint64_t{1} << 60)),
            "FILE_SPACE_EXHAUSTED");
  EXPECT_TRUE(CheckPosixSpace(1).ok());
}

TEST(LimitsTest, FileSizeFollowsTheResourceLimit) {
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit low = old;
  low.rlim_cur = 1 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  EXPECT_TRUE(CheckFileSize(1 << 20).ok());
  EXPECT_EQ(GetErrorReason(CheckFileSize((1 << 20) + 1)),
            "FILE_SIZE_LIMIT_EXCEEDED");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
}

TEST(LimitsTest, HugePagesAreCountedAgainstThePool) {
  EXPECT_EQ(GetErrorReason(CheckHugePages(3000, 3000)), "PAGE_SIZE_MISMATCH");
  for (const HugePagePool& pool : ReadHugePagePools()) {
    const uint64_t too_many = (pool.total_pages + 1) * pool.page_size_bytes;
    const absl::Status status = CheckHugePages(pool.page_size_bytes, too_many);
    EXPECT_EQ(GetErrorReason(status), "HUGEPAGES_EXHAUSTED");
    EXPECT_EQ(GetErrorDetail(status).metadata.at("unit"), "pages");
  }
}

TEST(LimitsTest, SysvLimitsAllowASmallSegment) {
  EXPECT_TRUE(CheckSysv(4096).ok());
}

}  // namespace
}  // namespace shmd
