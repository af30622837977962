// What the end of a run, of the host, or of a disk may leave of the journal.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "server/store/journal_replay.h"
#include "server/store/store_fixture.h"

namespace shmd {
namespace {

class JournalDamageTest : public StoreFixture {
 protected:
  // Three groups, the last of two changes; `ends` are the file's sizes after
  // the header and each group.
  void MakeJournal(Durability durability = Durability::kDaemonDeath) {
    store_ = Open(JournalOnly());
    path_ = JournalIn(folder());
    ends_ = {ReadFile(path_).size()};
    const std::vector<std::vector<Change>> groups = {
        {Put("a", "1")}, {Put("b", "2")}, {Put("c", "3"), Removal("a")}};
    for (const std::vector<Change>& group : groups) {
      ASSERT_TRUE(store_->Commit(group, durability).ok());
      ends_.push_back(ReadFile(path_).size());
    }
    bytes_ = ReadFile(path_);
  }

  // What a start makes of a crash that left `bytes` as the journal.
  absl::StatusOr<Contents> StartFrom(const std::string& bytes) {
    const std::string copy = Crash();
    WriteFile(JournalIn(copy), bytes);
    const auto store = TryOpen(copy);
    if (!store.ok()) return store.status();
    return ContentsOf(**store);
  }

  std::unique_ptr<Store> store_;
  std::string path_;
  std::string bytes_;
  std::vector<size_t> ends_;
};

const StoreFixture::Contents kBeforeLast = {{"a", "1"}, {"b", "2"}};
const StoreFixture::Contents kAll = {{"b", "2"}, {"c", "3"}};

TEST_F(JournalDamageTest, TornTailIsCutAtEveryByte) {
  MakeJournal();
  ASSERT_EQ(ends_.back(), bytes_.size());
  for (size_t size = ends_[2]; size < bytes_.size(); ++size) {
    const auto found = StartFrom(bytes_.substr(0, size));
    ASSERT_TRUE(found.ok()) << size << ": " << found.status();
    EXPECT_EQ(*found, kBeforeLast) << size;
  }
  EXPECT_EQ(StartFrom(bytes_).value(), kAll);
}

TEST_F(JournalDamageTest, FlippedBitOfTheLastGroupMakesItATornTail) {
  MakeJournal();
  for (size_t at = ends_[2]; at < bytes_.size(); ++at) {
    std::string bytes = bytes_;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    const auto found = StartFrom(bytes);
    ASSERT_TRUE(found.ok()) << at << ": " << found.status();
    EXPECT_EQ(*found, kBeforeLast) << at;
  }
}

TEST_F(JournalDamageTest, FlippedBitBeforeAGoodGroupIsRefused) {
  MakeJournal();
  for (size_t at = 0; at < ends_[2]; ++at) {
    std::string bytes = bytes_;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    EXPECT_EQ(GetErrorReason(StartFrom(bytes).status()), "STORE_FAILED") << at;
  }
}

TEST_F(JournalDamageTest, ZeroesBehindTheEndAreATornTail) {
  MakeJournal();
  EXPECT_EQ(StartFrom(bytes_ + std::string(5000, '\0')).value(), kAll);
}

TEST_F(JournalDamageTest, GroupOfAnotherFileIsNone) {
  MakeJournal();
  // The same bytes under another salt: what a label could hold.
  std::string group = bytes_.substr(ends_[1], ends_[2] - ends_[1]);
  const uint32_t salt = ParseJournalHeader(bytes_)->salt;
  EXPECT_TRUE(ParseGroup(group, salt).has_value());
  EXPECT_FALSE(ParseGroup(group, salt + 1).has_value());
}

TEST_F(JournalDamageTest, RefusalLeavesEverythingAsItIs) {
  MakeJournal();
  const std::string copy = Crash();
  std::string bytes = bytes_;
  bytes[ends_[0] + 30] ^= 1;
  WriteFile(JournalIn(copy), bytes);
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(GetErrorReason(TryOpen(copy).status()), "STORE_FAILED");
    EXPECT_EQ(ReadFile(JournalIn(copy)), bytes);
  }
  // Mended, it starts.
  WriteFile(JournalIn(copy), bytes_);
  EXPECT_EQ(ContentsIn(copy), kAll);
}

TEST_F(JournalDamageTest, MissingJournalIsRefusedWhenAnotherFollows) {
  MakeJournal();
  const std::string copy = Crash();
  // As if groups 1 and 2 had been in a file that is gone.
  WriteFile(JournalIn(copy),
            bytes_.substr(0, ends_[0]) + bytes_.substr(ends_[2]));
  EXPECT_EQ(GetErrorReason(TryOpen(copy).status()), "STORE_FAILED");
}

TEST_F(JournalDamageTest, CrashWhileAJournalIsMade) {
  MakeJournal();
  const std::string header = bytes_.substr(0, ends_[0]);
  for (size_t size = 0; size <= header.size(); ++size) {
    const std::string copy = Crash();
    WriteFile(absl::StrCat(copy, "/", JournalName(1000)),
              header.substr(0, size));
    const auto store = TryOpen(copy);
    ASSERT_TRUE(store.ok()) << size << ": " << store.status();
    EXPECT_EQ(ContentsOf(**store), kAll);
  }
}

TEST_F(JournalDamageTest, CrashWhileAJournalIsPrepared) {
  MakeJournal();
  const std::string copy = Crash();
  const auto number = ListJournals(copy)->front();
  const std::string unfinished =
      absl::StrCat(copy, "/", JournalName(number + 1), ".new");
  // What a disk may show of blocks that were not written yet.
  WriteFile(unfinished, std::string(4096, '\0') + bytes_ + "rest");
  const auto store = TryOpen(copy);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(ContentsOf(**store), kAll);
  EXPECT_FALSE(std::filesystem::exists(unfinished));
}

TEST_F(JournalDamageTest, AJournalOfZeroesIsRefused) {
  MakeJournal();
  EXPECT_EQ(GetErrorReason(StartFrom(std::string(8192, '\0')).status()),
            "STORE_FAILED");
}

TEST_F(JournalDamageTest, AppliedJournalThatReappearsChangesNothing) {
  MakeJournal();
  const std::string copy = Crash();
  {
    const auto store = TryOpen(copy);
    ASSERT_TRUE(store.ok());
    ASSERT_TRUE(Commit(**store, Put("b", "later")).ok());
    // Its removal was not on the disk when the power went.
    WriteFile(absl::StrCat(copy, "/", JournalName(1)), bytes_);
    EXPECT_EQ(ContentsOf(**store).at("b"), "later");
  }
  ASSERT_NE(JournalIn(copy), "");
  EXPECT_EQ(ContentsIn(copy), (Contents{{"b", "later"}, {"c", "3"}}));
}

TEST_F(JournalDamageTest, CrashBetweenTheDatabaseAndTheSwitch) {
  MakeJournal();
  // Everything is in the database, and still in the journal.
  EXPECT_EQ(ContentsOf(*store_), kAll);
  EXPECT_EQ(ReadFile(path_), bytes_);
  const std::string applied = Crash();
  ASSERT_TRUE(Commit(*store_, Put("d", "4")).ok());
  // The database of before the crash with the journal of after it.
  const std::string later = Crash();
  EXPECT_EQ(ContentsIn(applied), kAll);
  Contents expected = kAll;
  expected["d"] = "4";
  EXPECT_EQ(ContentsIn(later), expected);
}

TEST_F(JournalDamageTest, CrashAfterTheSwitchFindsBothJournals) {
  MakeJournal();
  // Group 4 in a journal that follows.
  ASSERT_TRUE(Commit(*store_, Put("d", "4")).ok());
  const std::string whole = ReadFile(path_);
  const std::string copy = Crash();
  const std::string header = bytes_.substr(0, ends_[0]);
  WriteFile(JournalIn(copy), bytes_ + "torn");
  WriteFile(absl::StrCat(copy, "/", JournalName(1000)),
            header + whole.substr(bytes_.size()));
  Contents expected = kAll;
  expected["d"] = "4";
  EXPECT_EQ(ContentsIn(copy), expected);
}

// Of replay alone, which takes any bytes.
class JournalReplayTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSalt = 7;

  static std::string Header(char boot) {
    JournalHeader header;
    header.boot_id.fill(boot);
    header.salt = kSalt;
    return EncodeJournalHeader(header);
  }
  static std::string GroupOf(uint64_t sequence, uint64_t synced = 0) {
    const std::vector<Change> changes = {
        {RecordKind::kSegment, absl::StrCat(sequence), "v"}};
    uint32_t crc = 0;
    std::string group = EncodeGroup(changes, &crc);
    SealGroup(sequence, synced, crc, kSalt, &group);
    return group;
  }
  static std::string Zeroes() { return std::string(GroupOf(1).size(), '\0'); }
  // The last group that is kept; 0 for a refusal.
  static uint64_t LastOf(const std::vector<std::string>& journals,
                         uint64_t applied, char boot) {
    BootId boot_id;
    boot_id.fill(boot);
    const auto replay = ReplayJournals(
        std::vector<absl::string_view>(journals.begin(), journals.end()),
        applied, boot_id);
    if (!replay.ok()) {
      EXPECT_EQ(GetErrorReason(replay.status()), "STORE_FAILED");
      return 0;
    }
    if (!replay->changes.empty()) {
      uint64_t last = 0;
      for (const auto& change : replay->changes) {
        last = std::max<uint64_t>(last, std::stoul(change.first.second));
      }
      return last;
    }
    return applied;
  }
};

TEST_F(JournalReplayTest, GroupsFollowOverFiles) {
  EXPECT_EQ(
      LastOf({Header('b') + GroupOf(4) + GroupOf(5), Header('b') + GroupOf(6)},
             3, 'b'),
      6u);
  EXPECT_EQ(
      LastOf({Header('b') + GroupOf(4), Header('b') + GroupOf(6)}, 3, 'b'), 0u);
  EXPECT_EQ(LastOf({Header('b') + GroupOf(4)}, 9, 'b'), 9u);
}

TEST_F(JournalReplayTest, PowerLossTakesWhatWasNotSynced) {
  // Pages reach a disk in any order.
  const std::string bytes =
      Header('a') + GroupOf(4) + GroupOf(5) + Zeroes() + GroupOf(7);
  EXPECT_EQ(LastOf({bytes}, 3, 'b'), 5u);
  EXPECT_EQ(LastOf({bytes}, 3, 'a'), 0u) << "this boot: no power was lost";
}

TEST_F(JournalReplayTest, DamageOfWhatWasSyncedIsRefusedAfterAPowerLoss) {
  EXPECT_EQ(
      LastOf({Header('a') + GroupOf(4) + Zeroes() + GroupOf(6, 5)}, 3, 'b'),
      0u);
  EXPECT_EQ(
      LastOf({Header('a') + GroupOf(4) + Zeroes() + GroupOf(6, 4)}, 3, 'b'),
      4u);
}

TEST_F(JournalReplayTest, NumbersOfLostGroupsAreNotDealtAgain) {
  BootId boot_id;
  boot_id.fill('b');
  const std::string bytes = Header('a') + GroupOf(4) + Zeroes() + GroupOf(9);
  const auto replay = ReplayJournals({bytes}, 3, boot_id);
  ASSERT_TRUE(replay.ok());
  EXPECT_EQ(replay->changes.size(), 1u);
  EXPECT_EQ(replay->last_sequence, 9u);
}

TEST_F(JournalReplayTest, DamageOfWhatIsAppliedDoesNotMatter) {
  EXPECT_EQ(LastOf({Header('b') + Zeroes() + GroupOf(4) + GroupOf(5)}, 3, 'b'),
            5u);
}

TEST_F(JournalReplayTest, SealedNonsenseIsRefused) {
  std::string group(kGroupHeaderBytes, '\0');
  group += "\x01\x00nonsense";
  SealGroup(4, 0, ExtendCrc32c(0, group.substr(kGroupHeaderBytes)), kSalt,
            &group);
  EXPECT_EQ(LastOf({Header('b') + group}, 3, 'b'), 0u);
}

TEST(Crc32cTest, IsThatOfTheStandard) {
  EXPECT_EQ(ExtendCrc32c(0, "123456789"), 0xe3069283u);
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\xff')), 0x62a8ab43u);
  std::string bytes;
  for (int i = 0; i < 1000; ++i) {
    const uint32_t crc = ExtendCrc32c(0, bytes);
    EXPECT_EQ(crc, ExtendCrc32cByTable(0, bytes));
    const size_t half = bytes.size() / 2;
    EXPECT_EQ(crc, ExtendCrc32c(ExtendCrc32c(0, bytes.substr(0, half)),
                                bytes.substr(half)));
    bytes.push_back(static_cast<char>(i * 37));
  }
}

}  // namespace
}  // namespace shmd
