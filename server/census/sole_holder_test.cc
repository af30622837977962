#include "server/census/sole_holder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

class SoleHolderTest : public ::testing::Test {
 protected:
  SoleHolderTest() : name_(absl::StrCat("/sole-", getpid())) {
    first_.Reset(shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
    EXPECT_EQ(ftruncate(first_.get(), 4096), 0);
  }
  ~SoleHolderTest() override { shm_unlink(name_.c_str()); }

  OtherHolders Ask() {
    const UniqueFd fd(shm_open(name_.c_str(), O_RDONLY, 0));
    return TakeLease(fd.get());
  }

  const std::string name_;
  UniqueFd first_;
};

TEST_F(SoleHolderTest, ADescriptorIsAHolder) {
  EXPECT_EQ(Ask(), OtherHolders::kSome);
  first_.Reset();
  EXPECT_EQ(Ask(), OtherHolders::kNone);
  EXPECT_EQ(Ask(), OtherHolders::kNone) << "the lease ends with its descriptor";
}

TEST_F(SoleHolderTest, AMappingIsAHolder) {
  void* const mapped =
      mmap(nullptr, 4096, PROT_READ, MAP_SHARED, first_.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  first_.Reset();
  EXPECT_EQ(Ask(), OtherHolders::kSome);
  munmap(mapped, 4096);
  EXPECT_EQ(Ask(), OtherHolders::kNone);
}

TEST_F(SoleHolderTest, WhoOpensItMeanwhileIsNoticed) {
  first_.Reset();
  const UniqueFd fd(shm_open(name_.c_str(), O_RDONLY, 0));
  ASSERT_EQ(TakeLease(fd.get()), OtherHolders::kNone);
  EXPECT_TRUE(IsLeaseWhole(fd.get()));
  // Without waiting for us.
  const int refused = shm_open(name_.c_str(), O_RDWR | O_NONBLOCK, 0);
  EXPECT_EQ(refused, -1);
  EXPECT_EQ(errno, EWOULDBLOCK);
  EXPECT_FALSE(IsLeaseWhole(fd.get()));
}

}  // namespace
}  // namespace shmd
