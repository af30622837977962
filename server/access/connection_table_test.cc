#include "server/access/connection_table.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

UniqueFd Null() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

Caller WithUid(uid_t uid) {
  Caller caller;
  caller.uid = uid;
  return caller;
}

TEST(ConnectionTableTest, FindsTheCallerByGrpcsNameOfTheConnection) {
  const CallerPolicy policy({});
  ConnectionTable table(&policy);
  const absl::StatusOr<int> a = table.Add(Null(), WithUid(1));
  const absl::StatusOr<int> b = table.Add(Null(), WithUid(2));
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ((*table.Find(absl::StrCat("fd:", *a)))->uid, 1u);
  EXPECT_EQ((*table.Find(absl::StrCat("fd:", *b)))->uid, 2u);
  close(*a);
  close(*b);
}

TEST(ConnectionTableTest, ClosedNumberIsNotDealtAgainSoon) {
  const CallerPolicy policy({});
  ConnectionTable table(&policy);
  std::set<int> numbers;
  for (int i = 0; i < 100; ++i) {
    const absl::StatusOr<int> number = table.Add(Null(), WithUid(i));
    ASSERT_TRUE(number.ok());
    EXPECT_TRUE(numbers.insert(*number).second) << *number;
    close(*number);
  }
}

TEST(ConnectionTableTest, RoundBeginsAnewAtTheDescriptorLimit) {
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit low = old;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const CallerPolicy policy({});
  ConnectionTable table(&policy);
  for (int i = 0; i < 200; ++i) {
    const absl::StatusOr<int> number = table.Add(Null(), WithUid(i));
    ASSERT_TRUE(number.ok()) << number.status();
    EXPECT_EQ((*table.Find(absl::StrCat("fd:", *number)))->uid,
              static_cast<uid_t>(i));
    close(*number);
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

TEST(ConnectionTableTest, UnknownPeerIsUnauthenticated) {
  const CallerPolicy policy({});
  ConnectionTable table(&policy);
  for (const char* peer : {"", "fd:", "fd:3", "fd:-1", "ipv4:127.0.0.1:80"}) {
    EXPECT_EQ(GetErrorReason(table.Find(peer).status()), "CALLER_UNKNOWN");
  }
}

}  // namespace
}  // namespace shmd
