#include "server/store/namespace_record.h"

#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Namespace Full() {
  Namespace name_space;
  name_space.name = "team-1";
  name_space.entrants.uids = {1001, 0};
  name_space.entrants.gids = {7};
  name_space.entrants.certificate_names = {"ops.example"};
  name_space.quota = {1, 2, 3, 4, 5, 6};
  name_space.uid_quota.segments = 0;
  name_space.revision = 9;
  name_space.create_time = absl::FromUnixNanos(1234567890123456789);
  return name_space;
}

TEST(NamespaceRecordTest, ComesBackAsItWas) {
  const Change put = PutOf(Full());
  EXPECT_EQ(put.kind, RecordKind::kNamespace);
  const auto read = ParseNamespaceRecord(put.key, *put.value);
  ASSERT_TRUE(read.ok()) << read.status();
  const Namespace expected = Full();
  EXPECT_EQ(read->name, "team-1");
  EXPECT_EQ(read->entrants.uids, expected.entrants.uids);
  EXPECT_EQ(read->entrants.gids, expected.entrants.gids);
  EXPECT_EQ(read->entrants.certificate_names,
            expected.entrants.certificate_names);
  EXPECT_TRUE(read->quota == expected.quota);
  EXPECT_TRUE(read->uid_quota == expected.uid_quota);
  EXPECT_EQ(read->uid_quota.segments, 0u);
  EXPECT_EQ(read->uid_quota.bytes, kUnlimited);
  EXPECT_EQ(read->revision, 9u);
  EXPECT_EQ(read->create_time, expected.create_time);
  EXPECT_EQ(RemovalOfNamespace("team-1").key, put.key);
}

TEST(NamespaceRecordTest, DamageIsTold) {
  const Change put = PutOf(Full());
  for (const auto& [key, value] :
       {std::pair<std::string, std::string>{"", *put.value},
        {"Team", *put.value},
        {"team-1", "\xff\xff"}}) {
    const auto read = ParseNamespaceRecord(key, value);
    EXPECT_EQ(GetErrorReason(read.status()), "STORE_FAILED") << key;
  }
}

}  // namespace
}  // namespace shmd
