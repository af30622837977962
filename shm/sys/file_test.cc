#include "shm/sys/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"

namespace shmd::sys {
namespace {

// A folder "root" with a file, beside another file.
class OpenBelowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = absl::StrCat(testing::TempDir(), "/below.XXXXXX");
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::filesystem::create_directories(folder_ / "root/sub");
    std::ofstream(folder_ / "root/sub/file") << "inside";
    std::ofstream(folder_ / "outside") << "outside";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // What the file says that is opened, or the reason why none is.
  std::string Read(const std::string& root, const std::string& path) {
    const absl::StatusOr<UniqueFd> fd =
        OpenBelow(folder_ / root, path, O_RDONLY);
    if (!fd.ok()) return GetErrorReason(fd.status());
    char bytes[16];
    const ssize_t size = read(fd->get(), bytes, sizeof(bytes));
    return {bytes, size < 0 ? 0 : static_cast<size_t>(size)};
  }

  std::filesystem::path folder_;
};

TEST_F(OpenBelowTest, OpensWhatIsThere) {
  EXPECT_EQ(Read("root", "sub/file"), "inside");
  EXPECT_TRUE(OpenBelow(folder_ / "root", ".", O_RDONLY | O_DIRECTORY).ok());
}

TEST_F(OpenBelowTest, TheRootItselfMayBeBehindALink) {
  std::filesystem::create_symlink("root", folder_ / "alias");
  EXPECT_EQ(Read("alias", "sub/file"), "inside");
  EXPECT_EQ(Read("alias", "absent"), reason::kObjectNotFound);
}

TEST_F(OpenBelowTest, ALeaseOfTheOwnerIsToldAtOnce) {
  signal(SIGIO, SIG_IGN);
  const std::string path = folder_ / "root/sub/file";
  const UniqueFd leased(open(path.c_str(), O_RDWR));
  ASSERT_EQ(fcntl(leased.get(), F_SETLEASE, F_WRLCK), 0);
  EXPECT_EQ(Read("root", "sub/file"), reason::kObjectUnsuitable);
  ASSERT_EQ(fcntl(leased.get(), F_SETLEASE, F_UNLCK), 0);
  EXPECT_EQ(Read("root", "sub/file"), "inside");
}

TEST_F(OpenBelowTest, NothingLeadsOutOfTheRoot) {
  const std::string absolute = folder_ / "outside";
  std::filesystem::create_symlink("../outside", folder_ / "root/link");
  std::filesystem::create_symlink("..", folder_ / "root/up");
  for (const std::string& path :
       {std::string("../outside"), std::string("sub/../../outside"), absolute,
        std::string("link"), std::string("up/outside")}) {
    EXPECT_EQ(Read("root", path), reason::kFilePathInvalid) << path;
  }
}

TEST_F(OpenBelowTest, SaysWhatIsMissing) {
  EXPECT_EQ(Read("root", "absent"), reason::kObjectNotFound);
  EXPECT_EQ(Read("absent", "file"), reason::kFileRootMissing);
  EXPECT_EQ(Read("outside", "file"), reason::kFileRootMissing);
  EXPECT_EQ(Read("root", "sub/file/x"), reason::kFilePathInvalid);
}

}  // namespace
}  // namespace shmd::sys
