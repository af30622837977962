#include "server/registry/namespace_table.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

constexpr uid_t kAlice = 1001;
constexpr uid_t kBob = 1002;

Caller User(uid_t uid, std::vector<gid_t> groups = {}) {
  Caller caller;
  caller.uid = uid;
  caller.gid = uid;
  caller.groups = std::move(groups);
  return caller;
}

Caller Administrator() {
  Caller caller = User(0);
  caller.is_administrator = true;
  return caller;
}

Namespace Team() {
  Namespace name_space;
  name_space.name = "team";
  return name_space;
}

Amounts Segments(uint64_t count) {
  Amounts amounts;
  amounts.segments = count;
  return amounts;
}

class NamespaceTableTest : public ::testing::Test {
 protected:
  NamespaceTableTest() : table_(Namespace()) {}

  void AddTeam(const Namespace& team) {
    const absl::Status status = table_.Add(team);
    ASSERT_TRUE(status.ok()) << status;
  }
  uint64_t SegmentsOf(const std::string& name) {
    return table_.Get(Administrator(), name)->usage.segments;
  }

  NamespaceTable table_;
};

TEST_F(NamespaceTableTest, EntryIsByUidGroupOrCertificate) {
  Namespace team = Team();
  team.entrants.uids = {kAlice};
  team.entrants.gids = {500};
  team.entrants.certificate_names = {"ops.example"};
  AddTeam(team);
  Caller remote = User(static_cast<uid_t>(-1));
  remote.certificate_names = {"other.example", "ops.example"};
  EXPECT_TRUE(table_.CheckEntry(User(kAlice), "team").ok());
  EXPECT_TRUE(table_.CheckEntry(User(kBob, {400, 500}), "team").ok());
  EXPECT_TRUE(table_.CheckEntry(User(500), "team").ok());
  EXPECT_TRUE(table_.CheckEntry(remote, "team").ok());
  EXPECT_TRUE(table_.CheckEntry(Administrator(), "team").ok());
  remote.certificate_names = {"ops.example.org"};
  for (const Caller& other : {User(kBob, {400}), remote}) {
    const absl::Status refused = table_.CheckEntry(other, "team");
    // As what does not exist, to the letter.
    EXPECT_EQ(refused.message(), table_.CheckEntry(other, "absent").message());
    EXPECT_EQ(GetErrorReason(refused), "NAMESPACE_NOT_FOUND");
    EXPECT_EQ(GetErrorReason(table_.Get(other, "team").status()),
              "NAMESPACE_NOT_FOUND");
    // Over TCP not even `default`, which names nobody.
    EXPECT_EQ(table_.List(other, "", 10).size(),
              other.certificate_names.empty() ? 1u : 0u);
  }
}

TEST_F(NamespaceTableTest, EachLimitIsReachedAndNotPassed) {
  const struct {
    uint64_t Amounts::*amount;
    const char* name;
    const char* unit;
  } kCases[] = {
      {&Amounts::bytes, "bytes", "bytes"},
      {&Amounts::segments, "segments", "segments"},
      {&Amounts::sessions, "sessions", "sessions"},
      {&Amounts::watches, "watches", "watches"},
      {&Amounts::descriptors, "descriptors", "descriptors"},
      {&Amounts::huge_page_bytes, "huge_page_bytes", "bytes"},
  };
  for (const auto& one : kCases) {
    for (const bool of_uid : {false, true}) {
      SCOPED_TRACE(absl::StrCat(one.name, of_uid ? " of a uid" : ""));
      Namespace team = Team();
      Amounts& limits = of_uid ? team.uid_quota : team.quota;
      limits.*one.amount = 10;
      NamespaceTable table((Namespace()));
      ASSERT_TRUE(table.Add(team).ok());
      Amounts use;
      use.*one.amount = 7;
      ASSERT_TRUE(table.Take("team", kAlice, use).ok());
      use.*one.amount = 4;
      const absl::Status refused = table.Take("team", kAlice, use);
      EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
      const ErrorDetail detail = GetErrorDetail(refused);
      EXPECT_EQ(detail.reason, "QUOTA_EXCEEDED");
      EXPECT_EQ(detail.metadata.at("namespace"), "team");
      EXPECT_EQ(detail.metadata.at("resource"), one.name);
      EXPECT_EQ(detail.metadata.at("unit"), one.unit);
      EXPECT_EQ(detail.metadata.at("requested"), "4");
      EXPECT_EQ(detail.metadata.at("available"), "3");
      EXPECT_EQ(detail.metadata.at("limit_value"), "10");
      EXPECT_EQ(detail.metadata.count("uid"), of_uid ? 1u : 0u);
      // The limit of one user is not that of another.
      EXPECT_EQ(table.Take("team", kBob, use).ok(), of_uid);
      use.*one.amount = 3;
      EXPECT_TRUE(table.Take("team", kAlice, use).ok());
    }
  }
}

TEST_F(NamespaceTableTest, RefusalTakesNothing) {
  Namespace team = Team();
  team.quota.segments = 1;
  AddTeam(team);
  Amounts use = Segments(2);
  use.bytes = 4096;
  ASSERT_FALSE(table_.Take("team", kAlice, use).ok());
  const auto snapshot = table_.Get(Administrator(), "team");
  EXPECT_TRUE(snapshot->usage == Amounts());
  EXPECT_TRUE(snapshot->uid_usages.empty());
}

TEST_F(NamespaceTableTest, WhatIsUsedAlreadyStaysBeyondALowerLimit) {
  AddTeam(Team());
  ASSERT_TRUE(table_.Take("team", kAlice, Segments(5)).ok());
  Namespace smaller = Team();
  smaller.quota.segments = 3;
  table_.Replace(smaller);
  EXPECT_EQ(SegmentsOf("team"), 5u);
  const absl::Status refused = table_.Take("team", kAlice, Segments(1));
  EXPECT_EQ(GetErrorDetail(refused).metadata.at("available"), "0");
  // What asks for nothing of it is not refused.
  Amounts watch;
  watch.watches = 1;
  EXPECT_TRUE(table_.Take("team", kAlice, watch).ok());
  table_.GiveBack("team", kAlice, Segments(3));
  EXPECT_TRUE(table_.Take("team", kAlice, Segments(1)).ok());
}

TEST_F(NamespaceTableTest, SumsNeverWrap) {
  Namespace team = Team();
  team.quota.segments = UINT64_MAX - 1;
  AddTeam(team);
  ASSERT_TRUE(table_.Take("team", kAlice, Segments(UINT64_MAX - 2)).ok());
  EXPECT_FALSE(table_.Take("team", kAlice, Segments(2)).ok());
  EXPECT_FALSE(table_.Take("team", kBob, Segments(UINT64_MAX)).ok());
  EXPECT_TRUE(table_.Take("team", kBob, Segments(1)).ok());
}

TEST_F(NamespaceTableTest, MoveChangesWhoUsesAndNotHowMuch) {
  Namespace team = Team();
  team.quota.segments = 3;
  team.uid_quota.segments = 2;
  AddTeam(team);
  ASSERT_TRUE(table_.Take("team", kAlice, Segments(2)).ok());
  ASSERT_TRUE(table_.Take("team", kBob, Segments(1)).ok());
  // The namespace is full: a move takes no more of it.
  EXPECT_TRUE(table_.Move("team", kAlice, kBob, Segments(1)).ok());
  const absl::Status refused = table_.Move("team", kAlice, kBob, Segments(1));
  EXPECT_EQ(GetErrorDetail(refused).metadata.at("uid"), absl::StrCat(kBob));
  const auto snapshot = table_.Get(Administrator(), "team");
  EXPECT_EQ(snapshot->usage.segments, 3u);
  ASSERT_EQ(snapshot->uid_usages.size(), 2u);
  EXPECT_EQ(snapshot->uid_usages[0].usage.segments, 1u);
  EXPECT_EQ(snapshot->uid_usages[1].usage.segments, 2u);
}

TEST_F(NamespaceTableTest, UsersSeeTheirOwnUsageOnly) {
  ASSERT_TRUE(table_.Take("default", kAlice, Segments(1)).ok());
  ASSERT_TRUE(table_.Take("default", kBob, Segments(2)).ok());
  const auto seen = table_.Get(User(kBob), "default");
  ASSERT_EQ(seen->uid_usages.size(), 1u);
  EXPECT_EQ(seen->uid_usages[0].uid, kBob);
  EXPECT_EQ(seen->usage.segments, 3u);
  table_.GiveBack("default", kAlice, Segments(1));
  EXPECT_EQ(table_.Get(Administrator(), "default")->uid_usages.size(), 1u);
}

TEST_F(NamespaceTableTest, OnlyWhatIsUnusedCanBeRemoved) {
  AddTeam(Team());
  Amounts session;
  session.sessions = 1;
  ASSERT_TRUE(table_.Take("team", kAlice, session).ok());
  for (const char* const name : {"team", "default"}) {
    const absl::Status refused = table_.Remove(name);
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetErrorReason(refused), "NAMESPACE_IN_USE");
  }
  table_.GiveBack("team", kAlice, session);
  EXPECT_TRUE(table_.Remove("team").ok());
  EXPECT_EQ(GetErrorReason(table_.Remove("team")), "NAMESPACE_NOT_FOUND");
  EXPECT_EQ(GetErrorReason(table_.Take("team", kAlice, session)),
            "NAMESPACE_NOT_FOUND");
  // What was counted before means nothing to a new one of the name.
  AddTeam(Team());
  table_.GiveBack("team", kAlice, session);
  EXPECT_TRUE(table_.Get(Administrator(), "team")->usage == Amounts());
}

TEST_F(NamespaceTableTest, ThereAreAThousandAtMost) {
  for (size_t i = 1; i < kMaxNamespaces; ++i) {
    Namespace one;
    one.name = absl::StrCat("n", i);
    ASSERT_TRUE(table_.Add(one).ok()) << i;
  }
  const absl::Status refused = table_.Add(Team());
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorReason(refused), "NAMESPACE_LIMIT_EXCEEDED");
  Namespace again;
  again.name = "n1";
  EXPECT_EQ(GetErrorReason(table_.Add(again)), "NAMESPACE_EXISTS");
}

TEST_F(NamespaceTableTest, ListGoesOnByName) {
  for (const char* const name : {"zebra", "alpha", "team"}) {
    Namespace one;
    one.name = name;
    ASSERT_TRUE(table_.Add(one).ok());
  }
  std::vector<std::string> names;
  for (std::string after;;) {
    const auto page = table_.List(User(kAlice), after, 2);
    if (page.empty()) break;
    for (const auto& one : page) names.push_back(one.name_space.name);
    after = names.back();
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"alpha", "default", "team", "zebra"}));
}

TEST(NamespaceIdTest, IsLowerCaseFromALetter) {
  for (const std::string& good :
       {std::string("a"), std::string("a-1"), std::string(63, 'x')}) {
    EXPECT_TRUE(CheckNamespaceId("namespace_id", good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("A"), std::string("1a"), std::string("a-"),
        std::string("-a"), std::string("a_b"), std::string("a.b"),
        std::string("a/b"), std::string(64, 'x'), std::string("a\0b", 3)}) {
    const absl::Status refused = CheckNamespaceId("namespace_id", bad);
    EXPECT_EQ(GetErrorReason(refused), "NAME_INVALID") << bad;
    EXPECT_EQ(GetErrorDetail(refused).field, "namespace_id");
  }
}

}  // namespace
}  // namespace shmd
