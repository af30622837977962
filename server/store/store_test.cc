// What is kept, and what commits do to each other. journal_damage_test.cc has
// what a crash may leave, disk_full_test.cc what a full disk does.

#include "server/store/store.h"

#include <sqlite3.h>

#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/store/store_fixture.h"

namespace shmd {
namespace {

class StoreTest : public StoreFixture {
 protected:
  void RunSql(const std::string& folder, const std::string& sql) {
    const std::string path = absl::StrCat(folder, "/segments.db");
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr),
              SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
};

TEST_F(StoreTest, KeepsRecordsOfEachKindApart) {
  {
    const auto store = Open();
    ASSERT_TRUE(
        store
            ->Commit({Put("a", "1"), Put("a", "2", RecordKind::kGrant),
                      Put(std::string("\0b", 2), std::string("\0\xff", 2))},
                     Durability::kDaemonDeath)
            .ok());
  }
  const auto store = Open();
  EXPECT_EQ(ContentsOf(*store),
            (Contents{{"a", "1"}, {std::string("\0b", 2), {"\0\xff", 2}}}));
  EXPECT_EQ(ContentsOf(*store, RecordKind::kGrant), (Contents{{"a", "2"}}));
  EXPECT_TRUE(ContentsOf(*store, RecordKind::kSession).empty());
}

TEST_F(StoreTest, LastChangeOfARecordCounts) {
  const auto store = Open(JournalOnly());
  ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
  ASSERT_TRUE(Commit(*store, Put("b", "1")).ok());
  EXPECT_EQ(ContentsOf(*store), (Contents{{"a", "1"}, {"b", "1"}}));
  ASSERT_TRUE(store
                  ->Commit({Put("a", "2"), Removal("a"), Put("a", "3"),
                            Removal("b"), Removal("never")},
                           Durability::kDaemonDeath)
                  .ok());
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "3"}}));
  EXPECT_EQ(ContentsOf(*store), (Contents{{"a", "3"}}));
}

TEST_F(StoreTest, EveryCommitSurvivesACrash) {
  for (const Durability durability :
       {Durability::kDaemonDeath, Durability::kPowerLoss}) {
    const auto store = Open(JournalOnly());
    const std::string key = absl::StrCat(static_cast<int>(durability));
    ASSERT_TRUE(Commit(*store, Put(key, "v"), durability).ok());
    EXPECT_EQ(ContentsIn(Crash()).count(key), 1u);
  }
}

TEST_F(StoreTest, PlannedEndLeavesAllInTheDatabaseAndNoJournal) {
  {
    const auto store = Open(JournalOnly());
    ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
    EXPECT_NE(JournalIn(folder()), "");
  }
  EXPECT_EQ(JournalIn(folder()), "");
  EXPECT_EQ(ContentsIn(folder()), (Contents{{"a", "1"}}));
}

TEST_F(StoreTest, IdentityStaysAndGenerationsAreNeverDealtTwice) {
  const StoreIdentity first = Open()->identity();
  const StoreIdentity second = Open()->identity();
  EXPECT_EQ(first.node, second.node);
  EXPECT_EQ(first.key, second.key);
  EXPECT_GE(second.first_generation,
            first.first_generation + (uint64_t{1} << 32));
}

TEST_F(StoreTest, SecondDaemonIsRefused) {
  const auto first = Open();
  const auto second = TryOpen(folder());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(StoreTest, FileOfALaterVersionIsRefused) {
  { Open(); }
  RunSql(folder(), "PRAGMA user_version=77");
  const auto store = TryOpen(folder());
  EXPECT_EQ(GetErrorReason(store.status()), "STORE_FAILED");
}

TEST_F(StoreTest, GroupsFillWhatIsPreparedAndGoOnBehindIt) {
  Store::Options options = JournalOnly();
  options.prepared_bytes = 8192;
  const auto store = Open(options);
  EXPECT_EQ(ReadFile(JournalIn(folder())).size(), 8192u);
  Contents expected;
  for (int i = 0; ReadFile(JournalIn(folder())).size() < 10000; ++i) {
    ASSERT_LT(i, 1000);
    const std::string key = absl::StrCat(i);
    ASSERT_TRUE(
        Commit(*store, Put(key, std::string(100, 'v')),
               i % 7 == 0 ? Durability::kPowerLoss : Durability::kDaemonDeath)
            .ok());
    expected[key] = std::string(100, 'v');
    ASSERT_EQ(ContentsIn(Crash()), expected);
  }
}

TEST_F(StoreTest, JournalBeginsAnewAndNothingIsLostAtAnyMoment) {
  Store::Options options;
  options.journal_bytes = 2000;
  // From here on who commits does it, if the other thread is kept from it.
  options.max_journal_bytes = 6000;
  options.write_behind = absl::ZeroDuration();
  const auto store = Open(options);
  Contents expected;
  std::set<std::string> journals;
  for (int i = 0; i < 300; ++i) {
    const std::string key = absl::StrCat("k", i % 50);
    const std::string value = absl::StrCat("v", i);
    ASSERT_TRUE(
        Commit(*store, Put(key, value),
               i % 7 == 0 ? Durability::kPowerLoss : Durability::kDaemonDeath)
            .ok());
    expected[key] = value;
    if (i % 50 == 49) {
      EXPECT_EQ(ContentsOf(*store), expected);
      journals.insert(JournalIn(folder()));
    }
  }
  EXPECT_GT(journals.size(), 1u);
}

TEST_F(StoreTest, ManyThreadsCommit) {
  constexpr int kThreads = 8;
  constexpr int kCommits = 300;
  Store::Options options;
  options.journal_bytes = 20000;
  options.max_journal_bytes = 60000;
  options.write_behind = absl::Milliseconds(1);
  Contents expected;
  {
    const auto store = Open(options);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&store, t] {
        for (int i = 0; i < kCommits; ++i) {
          const std::string key = absl::StrCat(t, "/", i);
          EXPECT_TRUE(Commit(*store, Put(key, "v"),
                             i % 50 == 0 ? Durability::kPowerLoss
                                         : Durability::kDaemonDeath)
                          .ok());
          if (i % 3 == 0) {
            EXPECT_TRUE(Commit(*store, Removal(key)).ok());
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ContentsIn(Crash()), ContentsOf(*store));
  }
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kCommits; ++i) {
      if (i % 3 != 0) expected[absl::StrCat(t, "/", i)] = "v";
    }
  }
  EXPECT_EQ(ContentsIn(folder()), expected);
}

}  // namespace
}  // namespace shmd
