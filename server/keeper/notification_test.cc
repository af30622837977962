#include "server/keeper/notification.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

using ::testing::ElementsAre;

TEST(NotificationTest, EveryKnownLineIsRead) {
  const auto store =
      ParseNotification("FDSTORE=1\nFDNAME=a b\nFDPOLL=0\nMAINPID=7\n");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE(store->store);
  EXPECT_FALSE(store->remove);
  EXPECT_EQ(store->fd_name, "a b");
  const auto rest =
      ParseNotification("READY=1\nSTOPPING=1\nSTATUS=a=b\nFDSTOREREMOVE=1");
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_TRUE(rest->ready);
  EXPECT_TRUE(rest->stopping);
  EXPECT_TRUE(rest->remove);
  EXPECT_EQ(rest->status, "a=b");
  EXPECT_FALSE(rest->store);
  EXPECT_FALSE(rest->barrier);
}

TEST(NotificationTest, LinesWithoutAMeaningAreIgnored) {
  for (const char* const text :
       {"ready", "=", "=1", "READY=", "READY=0", "READY=11", " READY=1",
        "READY =1", "ready=1", "\n\n", "FDSTORE\n=1", "X\xff=\xfe"}) {
    const auto parsed = ParseNotification(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_FALSE(parsed->ready || parsed->store || parsed->barrier) << text;
  }
}

TEST(NotificationTest, BadTextsAreRefused) {
  const std::string nul("READY=1\0X=1", 11);
  for (const std::string& text :
       {std::string(), std::string(1, '\0'), nul, std::string(2, '\0'),
        std::string(kMaxNotificationBytes + 1, 'x'),
        std::string("BARRIER=1\nREADY=1"), std::string("X=1\nBARRIER=1")}) {
    const auto parsed = ParseNotification(text);
    EXPECT_EQ(GetErrorReason(parsed.status()), reason::kRequestInvalid) << text;
  }
  EXPECT_TRUE(ParseNotification(std::string(kMaxNotificationBytes, 'x')).ok());
  const auto ended = ParseNotification(std::string("READY=1\0", 8));
  ASSERT_TRUE(ended.ok());
  EXPECT_TRUE(ended->ready);
  const auto barrier = ParseNotification("BARRIER=1\n");
  ASSERT_TRUE(barrier.ok());
  EXPECT_TRUE(barrier->barrier);
}

TEST(NotificationTest, NamesAreThoseOfSystemd) {
  EXPECT_TRUE(IsFdName("a"));
  EXPECT_TRUE(IsFdName(" ~!=/"));
  EXPECT_TRUE(IsFdName(std::string(kMaxFdNameBytes, 'x')));
  EXPECT_FALSE(IsFdName(std::string(kMaxFdNameBytes + 1, 'x')));
  for (const char* const name : {"", "a:b", "\t", "\x7f", "\xc3\xa4", "a\n"}) {
    EXPECT_FALSE(IsFdName(name)) << name;
  }
  const auto parsed = ParseNotification("FDSTORE=1\nFDNAME=a:b");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->store);
  EXPECT_EQ(parsed->fd_name, "");
}

TEST(NotificationTest, WhatIsWrittenIsRead) {
  const std::string store = StoreNotification("x1");
  const auto stored = ParseNotification(store);
  ASSERT_TRUE(stored.ok());
  EXPECT_TRUE(stored->store);
  EXPECT_EQ(stored->fd_name, "x1");
  const std::string remove = RemoveNotification("x1");
  const auto removed = ParseNotification(remove);
  ASSERT_TRUE(removed.ok());
  EXPECT_TRUE(removed->remove);
  EXPECT_EQ(removed->fd_name, "x1");
}

TEST(NotificationTest, AStatusCannotAddLinesNorGrowTooLong) {
  EXPECT_EQ(StatusNotification("a\nREADY=1"), "STATUS=a");
  EXPECT_EQ(StatusNotification(absl::string_view("a\0b", 3)), "STATUS=a");
  const std::string text = StatusNotification(std::string(9999, 'x'));
  EXPECT_EQ(text.size(), kMaxNotificationBytes);
}

TEST(FdNamesListTest, JoinAndSplitAreInverse) {
  EXPECT_EQ(JoinFdNames({}), "");
  const std::string joined = JoinFdNames({"a", "b c", ""});
  EXPECT_EQ(joined, "a:b c:");
  const auto split = SplitFdNames(joined, 3);
  ASSERT_TRUE(split.ok());
  EXPECT_THAT(*split, ElementsAre("a", "b c", ""));
  EXPECT_FALSE(SplitFdNames(joined, 2).ok());
  EXPECT_FALSE(SplitFdNames(joined, 4).ok());
  EXPECT_FALSE(SplitFdNames("a\n:b", 2).ok());
}

}  // namespace
}  // namespace shmd
