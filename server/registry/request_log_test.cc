#include "server/registry/request_log.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

RequestLog::Entry Entry(const std::string& fingerprint) {
  return {fingerprint, RandomUid()};
}

TEST(RequestLogTest, FindsWhatTheSameCallerRecorded) {
  RequestLog log(10);
  const RequestLog::Entry entry = Entry("f");
  log.Record(1, "id", entry);
  const auto found = log.Find(1, "id");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->fingerprint, "f");
  EXPECT_EQ(found->segment, entry.segment);
  EXPECT_FALSE(log.Find(2, "id").has_value());
  EXPECT_FALSE(log.Find(1, "i").has_value());
}

TEST(RequestLogTest, LatestOfTwoUnderOneIdCounts) {
  RequestLog log(10);
  log.Record(1, "id", Entry("old"));
  log.Record(1, "id", Entry("new"));
  EXPECT_EQ(log.Find(1, "id")->fingerprint, "new");
}

TEST(RequestLogTest, ForgetsTheOldestBeyondItsCapacity) {
  RequestLog log(3);
  for (int i = 0; i < 4; ++i) log.Record(1, absl::StrCat(i), Entry("f"));
  EXPECT_FALSE(log.Find(1, "0").has_value());
  for (int i = 1; i < 4; ++i) {
    EXPECT_TRUE(log.Find(1, absl::StrCat(i)).has_value()) << i;
  }
}

TEST(RequestLogTest, ForgottenIdIsAsIfItHadNeverBeen) {
  RequestLog log(3);
  log.Forget(1, "unknown");
  log.Record(1, "a", Entry("f"));
  log.Forget(1, "a");
  log.Forget(1, "a");
  EXPECT_FALSE(log.Find(1, "a").has_value());
}

TEST(RequestLogTest, RetryOfAFailedRequestAgesFromTheRetryOn) {
  RequestLog log(3);
  log.Record(1, "a", Entry("failed"));
  log.Forget(1, "a");
  log.Record(1, "b", Entry("f"));
  log.Record(1, "a", Entry("retried"));
  log.Record(1, "c", Entry("f"));
  // Three are in it, none of them beyond the capacity.
  ASSERT_TRUE(log.Find(1, "a").has_value());
  EXPECT_TRUE(log.Find(1, "b").has_value());
  log.Record(1, "d", Entry("f"));
  EXPECT_FALSE(log.Find(1, "b").has_value());
  EXPECT_EQ(log.Find(1, "a")->fingerprint, "retried");
}

TEST(RequestLogTest, FailedRequestsPushNoOtherOut) {
  RequestLog log(3);
  log.Record(1, "kept", Entry("f"));
  for (int i = 0; i < 100; ++i) {
    log.Record(2, absl::StrCat(i), Entry("f"));
    log.Forget(2, absl::StrCat(i));
  }
  EXPECT_TRUE(log.Find(1, "kept").has_value());
}

}  // namespace
}  // namespace shmd
