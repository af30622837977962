#include "server/keeper/fd_names.h"

#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/keeper/notification.h"

namespace shmd {
namespace {

using ::testing::ElementsAre;

TEST(FdNamesTest, TheLowestFreeNumberIsTaken) {
  FdNames names(100000);
  EXPECT_THAT(*names.Take(3), ElementsAre("0", "1", "2"));
  names.GiveBack("1");
  EXPECT_EQ(names.in_use(), 2u);
  EXPECT_THAT(*names.Take(2), ElementsAre("1", "3"));
}

TEST(FdNamesTest, NamesAreUniqueAndGrowLate) {
  FdNames names(100000);
  const auto taken = names.Take(4000);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(std::set<std::string>(taken->begin(), taken->end()).size(), 4000u);
  EXPECT_EQ((*taken)[61], "z");
  EXPECT_EQ((*taken)[62], "10");
  EXPECT_EQ((*taken)[3843], "zz");
  EXPECT_EQ((*taken)[3844], "100");
}

TEST(FdNamesTest, ReservedNamesAreNotTakenAgain) {
  FdNames names(100);
  names.Reserve({"3", "0", "grpc.socket", "01", "3"});
  EXPECT_EQ(names.in_use(), 5u);
  EXPECT_THAT(*names.Take(4), ElementsAre("1", "2", "4", "5"));
  names.GiveBack("grpc.socket");
  EXPECT_EQ(names.in_use(), 8u);
  EXPECT_THAT(*names.Take(1), ElementsAre("6"));
}

TEST(FdNamesTest, BeyondTheLimitNothingIsTaken) {
  FdNames names(10);
  ASSERT_TRUE(names.Take(8).ok());
  const absl::Status status = names.Take(3).status();
  EXPECT_EQ(GetErrorReason(status), reason::kDescriptorsExhausted);
  EXPECT_EQ(GetErrorDetail(status).metadata["available"], "2");
  EXPECT_EQ(names.in_use(), 8u);
  EXPECT_TRUE(names.Take(2).ok());
  EXPECT_FALSE(names.Take(1).ok());
  names.GiveBack("0");
  EXPECT_TRUE(names.Take(1).ok());
}

TEST(FdNamesTest, AllNamesFitIntoTheEnvironment) {
  FdNames names(1000000);
  std::vector<std::string> all;
  for (;;) {
    const auto taken = names.Take(1);
    if (!taken.ok()) {
      EXPECT_EQ(GetErrorReason(taken.status()), reason::kDescriptorsExhausted);
      break;
    }
    all.push_back((*taken)[0]);
  }
  EXPECT_GT(all.size(), 30000u);
  EXPECT_EQ(names.in_use(), all.size());
  const std::vector<absl::string_view> views(all.begin(), all.end());
  EXPECT_LE(JoinFdNames(views).size(), kMaxFdNamesBytes);
  EXPECT_GT(JoinFdNames(views).size(), kMaxFdNamesBytes - 8);
  names.GiveBack(all[70]);
  EXPECT_TRUE(names.Take(1).ok());
}

}  // namespace
}  // namespace shmd
