#include "base/failpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

absl::Status Arm(absl::string_view text) {
  const absl::Status status = ArmFailpoints(text);
  EXPECT_TRUE(status.ok()) << status;
  return status;
}

class FailpointTest : public ::testing::Test {
 protected:
  ~FailpointTest() override { Arm("").IgnoreError(); }
};

TEST_F(FailpointTest, NothingHappensUntilOneIsArmed) {
  EXPECT_FALSE(failpoints_are_armed);
  SHMD_FAILPOINT("a.b");
  EXPECT_TRUE(SHMD_FAILPOINT_STATUS("a.b").ok());
}

TEST_F(FailpointTest, FailsWithTheErrno) {
  Arm("a.b=fail:ENOSPC").IgnoreError();
  for (int i = 0; i < 3; ++i) {
    const absl::Status status = SHMD_FAILPOINT_STATUS("a.b");
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(GetErrorDetail(status).metadata["errno"], std::to_string(ENOSPC));
  }
  EXPECT_TRUE(SHMD_FAILPOINT_STATUS("a.c").ok());
  Arm("a.b=off").IgnoreError();
  EXPECT_TRUE(SHMD_FAILPOINT_STATUS("a.b").ok());
}

TEST_F(FailpointTest, ActsAtItsPassAlone) {
  Arm("a.b=fail:EIO@3;a.c=fail:EIO@1").IgnoreError();
  for (int pass = 1; pass <= 5; ++pass) {
    EXPECT_EQ(SHMD_FAILPOINT_STATUS("a.b").ok(), pass != 3) << pass;
  }
  EXPECT_FALSE(SHMD_FAILPOINT_STATUS("a.c").ok());
}

TEST_F(FailpointTest, Sleeps) {
  Arm("a.b=sleep:30").IgnoreError();
  const absl::Time before = absl::Now();
  SHMD_FAILPOINT("a.b");
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(30));
}

TEST_F(FailpointTest, EndsTheProgram) {
  EXPECT_EXIT(
      {
        Arm("a.b=kill@2").IgnoreError();
        SHMD_FAILPOINT("a.b");
        std::fputs("once", stderr);
        SHMD_FAILPOINT("a.b");
      },
      ::testing::KilledBySignal(SIGKILL), "once");
  EXPECT_EXIT(
      {
        Arm("a.b=abort").IgnoreError();
        SHMD_FAILPOINT("a.b");
      },
      ::testing::KilledBySignal(SIGABRT), "");
}

TEST_F(FailpointTest, AFileIsForOneStart) {
  const char* const folder = getenv("TEST_TMPDIR");
  const std::string path =
      absl::StrCat(folder == nullptr ? "/tmp" : folder, "/armed-", getpid());
  std::ofstream(path) << "a.b=fail:EIO\n";
  Arm(absl::StrCat("@", path)).IgnoreError();
  EXPECT_FALSE(SHMD_FAILPOINT_STATUS("a.b").ok());
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  Arm(absl::StrCat("@", path)).IgnoreError();
  EXPECT_TRUE(SHMD_FAILPOINT_STATUS("a.b").ok());
  EXPECT_FALSE(failpoints_are_armed);
}

TEST_F(FailpointTest, RefusesWhatIsNone) {
  for (const char* const text :
       {"a.b", "a.b=", "=kill", "a.b=die", "a.b=kill@", "a.b=kill@0",
        "a.b=kill@x", "a.b=kill:1", "a.b=sleep", "a.b=sleep:x", "a.b=sleep:-1",
        "a.b=fail", "a.b=fail:EWHAT", "a.b=fail:EIO:EIO"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ArmFailpoints(text))) << text;
  }
}

}  // namespace
}  // namespace shmd
