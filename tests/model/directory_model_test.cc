// A reader looks names up while the daemon replaces, deletes and reuses
// entries, dies before any store, and the next one takes the directory up.

#include <gtest/gtest.h>

#include <vector>

#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_recovery.h"
#include "shm/directory/directory_table.h"
#include "tests/model/model_memory.h"

namespace shmd::model {
namespace {

enum class Bug {
  kNone,
  kNoSecondLook,    // a reader does not look at the control word again
  kRelaxedStores,   // the daemon's stores may be seen in any order
  kSameSequence,    // the control word does not count changes
  kWriteInPlace,    // a replaced object is written over
  kRetireFirst,     // a replaced entry is retired before its cell changes
  kReuseBeforeCut,  // an entry is used anew while a cell points to it
  kNoTakeUp,        // nobody clears up behind a dead daemon
};

// Addresses; nothing is ever there.
alignas(4096) char file[16384];

constexpr uint64_t kIndexOffset = 4096;
constexpr uint32_t kFirst = 8192 / layout::kPositionBytes;
constexpr uint32_t kSecond = kFirst + 1;

bool IsControl(const void* word) {
  return word == file + layout::EntryOffsetBytes(kFirst) ||
         word == file + layout::EntryOffsetBytes(kSecond);
}

template <Bug bug>
struct Daemon : Sound {
  static std::memory_order Demote(std::memory_order order) {
    return bug == Bug::kRelaxedStores && order == std::memory_order_release
               ? std::memory_order_relaxed
               : order;
  }
  template <typename Word>
  static Word Change(const Word* word, Word value) {
    if (bug == Bug::kSameSequence && IsControl(word)) {
      return static_cast<Word>(uint64_t{value} >> 32 << 32);
    }
    return value;
  }
};

template <Bug bug>
struct Session : Sound {
  static bool Skip(const void* word) {
    return bug == Bug::kNoSecondLook && IsControl(word);
  }
};

NameKey Key(const char* id) { return *NameKey::Of(id); }

EntryFields Fields(uint64_t generation) {
  EntryFields fields;
  fields.generation = generation;
  fields.offset_bytes = generation * 3;
  fields.size_bytes = generation * 5;
  return fields;
}

template <Bug bug, bool dies>
struct DirectoryModel : Model<2> {
  using DaemonMemory = ModelMemory<Daemon<bug>>;
  using Table = BasicDirectoryTable<DaemonMemory>;
  using NextMemory = ModelMemory<Sound>;
  using Reader = BasicDirectoryReader<ModelMemory<Session<bug>>>;

  Words words;
  rl::atomic<uint64_t> acknowledged;  // generation of "a"
  bool deleting = false;              // "a", at the moment or for good
  uint64_t seen = 0;

  void before() override {
    words.Clear();
    acknowledged.store(1, rl::mo_relaxed, $);
    DaemonMemory::stores_left = ~uint64_t{0};
    const Table table(file);
    IndexSpan span;
    span.offset_bytes = kIndexOffset;
    span.buckets = 1;
    Words::At(&table.header()->index).store(span.word(), rl::mo_relaxed, $);
    Words::At(&table.header()->size_bytes)
        .store(sizeof(file), rl::mo_relaxed, $);
    Put(table, kFirst, "a", 1);
    // At most as many as there are.
    if (dies) DaemonMemory::stores_left = rl::rand(80);
  }

  static void Put(const Table& table, uint32_t position, const char* id,
                  uint64_t generation) {
    const uint64_t hash = table.Hash(Key(id));
    table.Fill(position, Key(id), Fields(generation));
    table.Link(table.index(), table.FindUnused(table.index(), hash), hash,
               position);
  }

  void Replace(const Table& table) {
    const auto place = table.Find(Key("a"));
    if (bug == Bug::kWriteInPlace) {
      table.Fill(kFirst, Key("a"), Fields(2));
      return;
    }
    table.Fill(kSecond, Key("a"), Fields(2));
    if (bug == Bug::kRetireFirst) table.Retire(kFirst);
    table.Relink(place, table.Hash(Key("a")), kSecond);
    if (bug != Bug::kRetireFirst) table.Retire(kFirst);
  }

  void Write() {
    const Table table(file);
    Replace(table);
    if (DaemonMemory::IsDead()) return;
    acknowledged.store(2, rl::mo_release, $);
    if (bug == Bug::kWriteInPlace) return;
    table.MarkFree(kFirst);
    if (bug == Bug::kReuseBeforeCut) {
      Put(table, kSecond, "b", 3);
      return;
    }
    Put(table, kFirst, "b", 3);
    if (DaemonMemory::IsDead()) return;
    deleting = true;
    table.Unlink(table.Find(Key("a")));
    table.Retire(kSecond);
    table.MarkFree(kSecond);
    // The same name at the same place.
    Put(table, kSecond, "a", 4);
  }

  void TakeUp() {
    const BasicDirectoryTable<NextMemory> table(file);
    EntryRuns runs;
    runs.Add(kFirst, 2);
    const RecoveredEntries recovered =
        BasicDirectoryRecovery<NextMemory>(table, runs, 2).Run();
    RL_ASSERT(
        recovered.live + recovered.free.size() + recovered.retired.size() == 2);
    for (const uint32_t position : recovered.retired) table.MarkFree(position);
  }

  void Look(const Reader& reader, const char* id) {
    const bool is_a = id[0] == 'a';
    const uint64_t least = acknowledged.load(rl::mo_acquire, $);
    FoundObject found;
    const Lookup lookup = reader.Find(Key(id), &found);
    RL_ASSERT(lookup != Lookup::kTryAgain);
    if (lookup == Lookup::kAbsent) {
      RL_ASSERT(!is_a || deleting);
      return;
    }
    RL_ASSERT(found.offset_bytes == found.generation * 3);
    RL_ASSERT(found.size_bytes == found.generation * 5);
    RL_ASSERT(is_a == (found.generation != 3));
    if (!is_a) return;
    RL_ASSERT(found.generation >= least && found.generation >= seen);
    seen = found.generation;
  }

  void thread(unsigned index) override {
    if (index == 0) {
      Write();
      if (DaemonMemory::IsDead() && bug != Bug::kNoTakeUp) TakeUp();
      return;
    }
    const Reader reader(file, sizeof(file));
    for (int i = 0; i < 2; ++i) {
      Look(reader, "a");
      Look(reader, "b");
    }
  }

  void after() override {
    // No entry is lost, whoever died when.
    const BasicDirectoryTable<NextMemory> table(file);
    for (const uint32_t position : {kFirst, kSecond}) {
      const uint64_t control = table.Control(position);
      const bool linked =
          IsReadable(control) &&
          table.Find(table.KeyOf(position)).position == position;
      RL_ASSERT(linked || StateOf(control) == layout::EntryState::kFree ||
                StateOf(control) == layout::EntryState::kRetired);
    }
  }
};

constexpr unsigned kRuns = 30000;

// Any daemon, with any store the last one; and a daemon that lives, with the
// reader interrupted wherever there is something to interrupt.
template <Bug bug>
bool Holds() {
  return HoldsAtRandom<DirectoryModel<bug, true>>(kRuns) &&
         HoldsWithInterruptions<DirectoryModel<bug, false>>(2);
}

TEST(DirectoryModelTest, ReadersFindWholeObjectsWhicheverStoreWasTheLast) {
  EXPECT_TRUE(Holds<Bug::kNone>());
}

TEST(DirectoryModelTest, FindsEachSeededBug) {
  EXPECT_FALSE(Holds<Bug::kNoSecondLook>());
  EXPECT_FALSE(Holds<Bug::kRelaxedStores>());
  EXPECT_FALSE(Holds<Bug::kSameSequence>());
  EXPECT_FALSE(Holds<Bug::kWriteInPlace>());
  EXPECT_FALSE(Holds<Bug::kRetireFirst>());
  EXPECT_FALSE(Holds<Bug::kReuseBeforeCut>());
  EXPECT_FALSE(Holds<Bug::kNoTakeUp>());
}

}  // namespace
}  // namespace shmd::model
