// A program pins objects while the daemon deletes them and frees what nobody
// has pinned; either may die before any store.

#include <gtest/gtest.h>

#include <vector>

#include "absl/container/flat_hash_set.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_recovery.h"
#include "shm/directory/directory_table.h"
#include "shm/directory/pins.h"
#include "tests/model/model_memory.h"

namespace shmd::model {
namespace {

enum class Bug {
  kNone,
  kWeakPin,        // the pin is not sequentially consistent
  kWeakRetire,     // nor is the store that retires
  kNoSecondLook,   // the program does not look whether it was too late
  kScanFirst,      // the daemon reads pins before it retires
  kNoScan,         // and not at all
  kForgetfulHeir,  // the next daemon frees what it finds retired
};

// Addresses; nothing is ever there.
alignas(4096) char file[16384];
alignas(4096) char page_bytes[sizeof(layout::SessionPage)];

constexpr uint64_t kIndexOffset = 4096;
constexpr uint32_t kPosition = 8192 / layout::kPositionBytes;

template <Bug bug>
struct Daemon : Sound {
  static std::memory_order Demote(std::memory_order order) {
    return bug == Bug::kWeakRetire && order == std::memory_order_seq_cst
               ? std::memory_order_release
               : order;
  }
};

template <Bug bug>
struct Program : Sound {
  static std::memory_order Demote(std::memory_order order) {
    return bug == Bug::kWeakPin && order == std::memory_order_seq_cst
               ? std::memory_order_relaxed
               : order;
  }
};

NameKey Key() { return *NameKey::Of("a"); }

template <Bug bug, bool dies>
struct PinModel : Model<2> {
  using DaemonMemory = ModelMemory<Daemon<bug>>;
  using ProgramMemory = ModelMemory<Program<bug>>;
  using HeirMemory = ModelMemory<Sound>;

  Words words;
  // What the memory behind the object is used for now: how often it was freed.
  uint64_t freed = 0;
  bool session_ended = false;

  layout::SessionPage* page() {
    return reinterpret_cast<layout::SessionPage*>(page_bytes);
  }

  void before() override {
    words.Clear();
    DaemonMemory::stores_left = ~uint64_t{0};
    ProgramMemory::stores_left = ~uint64_t{0};
    const BasicDirectoryTable<DaemonMemory> table(file);
    IndexSpan span;
    span.offset_bytes = kIndexOffset;
    span.buckets = 1;
    Words::At(&table.header()->index).store(span.word(), rl::mo_relaxed, $);
    Words::At(&table.header()->size_bytes)
        .store(sizeof(file), rl::mo_relaxed, $);
    Publish(table);
    if (!dies) return;
    DaemonMemory::stores_left = rl::rand(40);
    ProgramMemory::stores_left = rl::rand(20);
  }

  template <typename Table>
  void Publish(const Table& table) {
    const uint64_t hash = table.Hash(Key());
    table.Fill(kPosition, Key(), EntryFields());
    table.Link(table.index(), table.FindUnused(table.index(), hash), hash,
               kPosition);
  }

  template <typename Memory>
  bool IsPinned() {
    // The socket of a program that has died says so.
    if (session_ended || bug == Bug::kNoScan) return false;
    absl::flat_hash_set<uint32_t> pinned;
    CollectPins<Memory>(page(), &pinned);
    return pinned.count(kPosition) != 0;
  }

  void RunDaemon() {
    const BasicDirectoryTable<DaemonMemory> table(file);
    for (int i = 0; i < 2; ++i) {
      const bool early = bug == Bug::kScanFirst && IsPinned<DaemonMemory>();
      table.Unlink(table.Find(Key()));
      table.Retire(kPosition);
      if (DaemonMemory::IsDead()) break;
      if (bug == Bug::kScanFirst ? early : IsPinned<DaemonMemory>()) return;
      // From here on the memory is somebody else's.
      ++freed;
      table.MarkFree(kPosition);
      Publish(table);
      if (DaemonMemory::IsDead()) break;
    }
    if (DaemonMemory::IsDead()) RunHeir();
  }

  void RunHeir() {
    const BasicDirectoryTable<HeirMemory> table(file);
    EntryRuns runs;
    runs.Add(kPosition, 1);
    const RecoveredEntries recovered =
        BasicDirectoryRecovery<HeirMemory>(table, runs, 1).Run();
    if (recovered.retired.empty()) return;
    if (bug != Bug::kForgetfulHeir && IsPinned<HeirMemory>()) return;
    ++freed;
    table.MarkFree(kPosition);
  }

  void RunProgram() {
    const BasicDirectoryReader<ProgramMemory> reader(file, sizeof(file));
    BasicPinSet<ProgramMemory> pins(page());
    for (int i = 0; i < 2; ++i) {
      FoundObject found;
      const PinResult pin = Pin(pins, reader, &found);
      if (ProgramMemory::IsDead()) break;
      if (pin.outcome != PinOutcome::kPinned) continue;
      const uint64_t before = freed;
      // The program reads what it has pinned: the daemon may do anything now.
      for (int look = 0; look < 3; ++look) {
        reader.IsStill(found);
        RL_ASSERT(freed == before);
      }
      pins.Unpin(pin.slot);
      if (ProgramMemory::IsDead()) break;
    }
    session_ended = ProgramMemory::IsDead();
  }

  PinResult Pin(BasicPinSet<ProgramMemory>& pins,
                const BasicDirectoryReader<ProgramMemory>& reader,
                FoundObject* found) {
    if (bug != Bug::kNoSecondLook) return pins.Pin(reader, Key(), found);
    PinResult result;
    if (reader.Find(Key(), found) != Lookup::kFound) return result;
    Words::At(&page()->header.pins_used).store(8, rl::mo_seq_cst, $);
    Words::At(&page()->pins[0])
        .store(PinOf(found->position, found->control), rl::mo_seq_cst, $);
    result.outcome = PinOutcome::kPinned;
    return result;
  }

  void thread(unsigned index) override {
    if (index == 0) {
      RunDaemon();
    } else {
      RunProgram();
    }
  }

  void after() override {
    // Whoever has died, what is retired can be freed in the end, and no pin
    // stays of a program that lives.
    session_ended = session_ended || ProgramMemory::IsDead();
    RL_ASSERT(!IsPinned<HeirMemory>());
  }
};

constexpr unsigned kRuns = 30000;

template <Bug bug>
bool Holds() {
  return HoldsAtRandom<PinModel<bug, true>>(kRuns) &&
         HoldsWithInterruptions<PinModel<bug, false>>(2);
}

TEST(PinModelTest, NothingThatIsPinnedIsFreedWhicheverStoreWasTheLast) {
  EXPECT_TRUE(Holds<Bug::kNone>());
}

TEST(PinModelTest, FindsEachSeededBug) {
  EXPECT_FALSE(Holds<Bug::kWeakPin>());
  EXPECT_FALSE(Holds<Bug::kWeakRetire>());
  EXPECT_FALSE(Holds<Bug::kNoSecondLook>());
  EXPECT_FALSE(Holds<Bug::kScanFirst>());
  EXPECT_FALSE(Holds<Bug::kNoScan>());
  EXPECT_FALSE(Holds<Bug::kForgetfulHeir>());
}

}  // namespace
}  // namespace shmd::model
