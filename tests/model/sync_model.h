#ifndef SHMD_TESTS_MODEL_SYNC_MODEL_H_
#define SHMD_TESTS_MODEL_SYNC_MODEL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "shm/sync/locker.h"
#include "shm/sync/mender.h"
#include "shm/sync/owned_word.h"
// Relacy's macros come after everything else.
#include "tests/model/model_memory.h"

namespace shmd::model {

// What is wrong on purpose, to see that the model finds it.
enum class Bug {
  kNone,
  kWeakWaiters,          // `waiters` is read and written in relaxed order
  kFutexDoesNotCompare,  // who is about to sleep is not told of a change
  kTakeIsRelaxed,        // the word is taken without acquiring
  kReleaseIsRelaxed,     // and let go without releasing
  kNobodyIsWoken,
  kOneIsNotAll,  // who wakes all wakes one
  kNobodyMends,  // the daemon does nothing for the dead
  kMenderWakesNobody,
  kMenderIsSilent,    // does not say that the owner died
  kRoundIsNotBroken,  // nor that one of a barrier's did
  kSlotIsForgotten,   // the program does not say what it is at
  kReaderIsRelaxed,   // a reader's place is not in one order with the writer
  kLeftIsNotCounted,  // a reader leaves without a word
  kCopyIsRelaxed,     // of a value
  kSequenceIsRelaxed,
  kOneCopy,     // the writer fills the copy that is being read
  kWakeIsKept,  // who was woken and leaves wakes nobody else
};

// Of most suites, and of any.
inline constexpr int kThreads = 3;
inline constexpr int kMostThreads = 4;

// A deadline that comes at a moment of chance: SyncWorld::Expire.
inline constexpr uint64_t kSomeDeadlineNs = 1;

// A lock with room for so many readers as the model has threads.
struct SmallRwLock {
  uint32_t head;
  uint32_t word;
  uint32_t waiters;
  uint32_t left;
  uint32_t left_wanted;
  uint32_t unused[11];
  uint32_t readers[2];
};

// Where things are. Only the addresses count.
struct Place {
  alignas(64) inline static char memory[512];
  inline static layout::SyncPage pages[kMostThreads];
};

// Thrown by the store after which a thread is to die.
struct Died {};

// The memory, the kernel's queues, and who is to die when. Made anew for every
// execution.
struct SyncWorld {
  SyncWorld() { current = this; }
  inline static SyncWorld* current = nullptr;

  void Begin(Bug seeded, int who, unsigned most_stores) {
    words.Clear();
    bug = seeded;
    victim = who;
    stores_left = who >= 0 ? 1 + rl::rand(most_stores) : 0;
    for (int i = 0; i < kMostThreads; ++i) {
      sleeps_on[i] = nullptr;
      sleeps_for_ever[i] = true;
      dead[i] = false;
      changes[i] = 0;
    }
    any_died = false;
    is_expired = false;
    is_awaited = false;
  }

  static int Me() { return static_cast<int>(rl::thread_index()); }
  bool IsDead() const { return dead[Me()]; }

  void Stored() {
    if (Me() != victim || IsDead()) return;
    if (--stores_left == 0) {
      dead[Me()] = true;
      throw Died();
    }
  }

  // Wakes who sleeps there, from a thread of chance on.
  void Wake(const void* word, uint32_t count) {
    kernel.lock($);
    const unsigned first = rl::rand(kMostThreads);
    for (unsigned i = 0; i < kMostThreads && count > 0; ++i) {
      const unsigned thread = (first + i) % kMostThreads;
      if (sleeps_on[thread] != word) continue;
      sleeps_on[thread] = nullptr;
      woken[thread].notify_one($);
      --count;
    }
    kernel.unlock($);
  }

  // Sleeps until somebody wakes it; false when kSomeDeadlineNs came first.
  // With `kernel`.
  bool AwaitWake(const void* word, bool for_ever) {
    const int me = Me();
    sleeps_on[me] = word;
    sleeps_for_ever[me] = for_ever;
    if (is_awaited) gathered.notify_one($);
    while (sleeps_on[me] != nullptr) {
      if (!for_ever && is_expired) {
        sleeps_on[me] = nullptr;
        return false;
      }
      woken[me].wait(kernel, $);
    }
    return true;
  }
  // Until so many sleep.
  void AwaitSleepers(int count) {
    kernel.lock($);
    is_awaited = true;
    while (kMostThreads -
               std::count(std::begin(sleeps_on), std::end(sleeps_on), nullptr) <
           count) {
      gathered.wait(kernel, $);
    }
    is_awaited = false;
    kernel.unlock($);
  }
  // From now on kSomeDeadlineNs has come.
  void Expire() {
    kernel.lock($);
    is_expired = true;
    for (int i = 0; i < kMostThreads; ++i) {
      if (!sleeps_for_ever[i]) woken[i].notify_one($);
    }
    kernel.unlock($);
  }

  Words words;
  Bug bug = Bug::kNone;
  int victim = -1;
  unsigned stores_left = 0;
  bool dead[kMostThreads] = {};
  bool any_died = false;
  bool is_expired = false;
  int changes[kMostThreads] = {};  // of the primitive's word
  rl::mutex kernel;
  const void* sleeps_on[kMostThreads] = {};
  bool sleeps_for_ever[kMostThreads] = {};
  rl::condition_variable woken[kMostThreads];
  bool is_awaited = false;
  rl::condition_variable gathered;
};

inline bool Has(Bug bug) { return SyncWorld::current->bug == bug; }

inline const uint32_t* WordOfPrimitive(size_t within) {
  return reinterpret_cast<const uint32_t*>(Place::memory + within);
}

// In place of layout::HostMemory.
struct SyncMemory {
  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    return static_cast<Word>(
        Words::At(Instead(word)).load(OrderOf(word, order, false), $));
  }
  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    SyncWorld& world = *SyncWorld::current;
    if (world.IsDead()) return;
    if (!IsForgotten(word)) {
      const rl::memory_order used = OrderOf(word, order, false);
      Words::At(Instead(word)).store(value, used, $);
    }
    world.Stored();
  }
  template <typename Word>
  static Word Exchange(Word* word, Word value, std::memory_order order) {
    SyncWorld& world = *SyncWorld::current;
    if (world.IsDead()) return Word{};
    const auto was = static_cast<Word>(
        Words::At(word).exchange(value, OrderOf(word, order, true), $));
    world.Stored();
    return was;
  }
  template <typename Word>
  static bool CompareExchange(Word* word, Word expected, Word value,
                              std::memory_order order) {
    SyncWorld& world = *SyncWorld::current;
    if (world.IsDead()) return true;
    uint64_t was = expected;
    const bool done = Words::At(word).compare_exchange_strong(
        was, value, OrderOf(word, order, true), $, rl::mo_relaxed, $);
    if (!done) return false;
    if (word == WordOfPrimitive(4)) ++world.changes[SyncWorld::Me()];
    world.Stored();
    return true;
  }
  template <typename Word>
  static Word Add(Word* word, Word value, std::memory_order order) {
    SyncWorld& world = *SyncWorld::current;
    if (world.IsDead()) return Word{};
    uint64_t was = Words::At(word).load(rl::mo_relaxed, $);
    while (!Words::At(word).compare_exchange_strong(
        was, static_cast<Word>(static_cast<Word>(was) + value),
        OrderOf(word, order, true), $, rl::mo_relaxed, $)) {
    }
    world.Stored();
    return static_cast<Word>(was);
  }

 private:
  static bool IsWithin(const void* word, const void* start, size_t bytes) {
    const auto at = reinterpret_cast<uintptr_t>(word);
    const auto from = reinterpret_cast<uintptr_t>(start);
    return at >= from && at < from + bytes;
  }
  static constexpr size_t kCopyBytes = 64;
  static bool IsSecondCopy(const void* word) {
    return IsWithin(word,
                    Place::memory + sizeof(layout::SeqValueLayout) + kCopyBytes,
                    kCopyBytes);
  }
  static bool IsSlot(const void* word) {
    return IsWithin(word, Place::pages, sizeof(Place::pages));
  }
  static bool IsForgotten(const void* word) {
    return Has(Bug::kSlotIsForgotten) && IsSlot(word);
  }
  static bool IsReader(const void* word) {
    return IsWithin(word, WordOfPrimitive(offsetof(SmallRwLock, readers)),
                    sizeof(SmallRwLock::readers));
  }
  static const void* Instead(const void* word) {
    if (Has(Bug::kOneCopy) && IsSecondCopy(word)) {
      return static_cast<const char*>(word) - kCopyBytes;
    }
    if (Has(Bug::kLeftIsNotCounted) &&
        word == WordOfPrimitive(offsetof(SmallRwLock, left_wanted))) {
      // A word that is always 0.
      return Place::memory + sizeof(Place::memory) - 4;
    }
    return word;
  }

  static rl::memory_order OrderOf(const void* word, std::memory_order order,
                                  bool exchanges) {
    const bool primitive = word == WordOfPrimitive(4);
    const bool copy = IsWithin(
        word, Place::memory + sizeof(layout::SeqValueLayout), 2 * kCopyBytes);
    if (word == WordOfPrimitive(8) && Has(Bug::kWeakWaiters)) {
      return rl::mo_relaxed;
    }
    if (primitive && exchanges && Has(Bug::kTakeIsRelaxed)) {
      return rl::mo_release;
    }
    if (primitive && exchanges && Has(Bug::kReleaseIsRelaxed)) {
      return rl::mo_acquire;
    }
    if (copy && Has(Bug::kCopyIsRelaxed)) return rl::mo_relaxed;
    if (word == WordOfPrimitive(offsetof(layout::SeqValueLayout, sequence)) &&
        Has(Bug::kSequenceIsRelaxed)) {
      return rl::mo_relaxed;
    }
    if (Has(Bug::kReaderIsRelaxed) && IsReader(word)) return rl::mo_relaxed;
    switch (order) {
      case std::memory_order_relaxed:
        return rl::mo_relaxed;
      case std::memory_order_acquire:
        return rl::mo_acquire;
      case std::memory_order_release:
        return rl::mo_release;
      default:
        return rl::mo_seq_cst;
    }
  }
};

// In place of HostFutex: no deadline passes but that of 0, which always has,
// and kSomeDeadlineNs.
struct SyncFutex {
  static bool Wait(const uint32_t* word, uint32_t expected,
                   uint64_t deadline_ns) {
    SyncWorld& world = *SyncWorld::current;
    if (world.IsDead()) return false;
    world.kernel.lock($);
    const bool same = Has(Bug::kFutexDoesNotCompare) ||
                      static_cast<uint32_t>(
                          Words::At(word).load(rl::mo_relaxed, $)) == expected;
    const bool for_ever = deadline_ns != kSomeDeadlineNs;
    const bool in_time =
        !same || (deadline_ns != 0 && world.AwaitWake(word, for_ever));
    world.kernel.unlock($);
    return in_time;
  }
  static void WakeOne(const uint32_t* word) {
    if (!Has(Bug::kWakeIsKept)) WakeSome(word, 1);
  }
  static void WakeSome(const uint32_t* word, uint32_t count) {
    if (SyncWorld::current->IsDead() || Has(Bug::kNobodyIsWoken)) return;
    SyncWorld::current->Wake(word, count);
  }
  static void WakeAll(const uint32_t* word) {
    WakeSome(word, Has(Bug::kOneIsNotAll) ? 1 : kMostThreads);
  }
  static bool IsPast(uint64_t deadline_ns) {
    return deadline_ns == 0 ||
           (deadline_ns == kSomeDeadlineNs && SyncWorld::current->is_expired);
  }
  static void Pause() {}
  static uint32_t MaxSpins() { return 0; }
  static uint64_t RecentNs() { return 1; }
  static uint32_t ThreadId() { return 1; }
};

// In place of GuardedWords: the daemon, which does not die here.
struct SyncWords {
  static bool Load(const uint32_t* word, uint32_t* value) {
    *value = static_cast<uint32_t>(Words::At(word).load(rl::mo_seq_cst, $));
    return true;
  }
  static bool SetToBit(uint32_t* word, int bit) {
    const uint64_t value = Has(Bug::kMenderIsSilent) ? 0 : uint64_t{1} << bit;
    Words::At(word).exchange(value, rl::mo_seq_cst, $);
    return true;
  }
  static bool Clear(uint32_t* word) {
    Words::At(word).exchange(0, rl::mo_seq_cst, $);
    return true;
  }
  static bool OrBit(uint32_t* word, int bit) {
    if (Has(Bug::kRoundIsNotBroken)) return true;
    uint64_t was = Words::At(word).load(rl::mo_relaxed, $);
    while (!Words::At(word).compare_exchange_strong(
        was, was | uint64_t{1} << bit, rl::mo_seq_cst, $, rl::mo_relaxed, $)) {
    }
    return true;
  }
  static bool Add(uint32_t* word, int value) {
    uint64_t was = Words::At(word).load(rl::mo_relaxed, $);
    while (!Words::At(word).compare_exchange_strong(
        was,
        static_cast<uint32_t>(static_cast<uint32_t>(was) +
                              static_cast<uint32_t>(value)),
        rl::mo_seq_cst, $, rl::mo_relaxed, $)) {
    }
    return true;
  }
  static void WakeAll(const uint32_t* word) {
    if (!Has(Bug::kMenderWakesNobody)) {
      SyncWorld::current->Wake(word, kMostThreads);
    }
  }
};

using ModelLocker = BasicLocker<SyncMemory, SyncFutex>;
using ModelMender = BasicSyncMender<SyncWords, SmallRwLock>;

// What thread `me` is to the others.
constexpr uint32_t NumberOf(int me) { return static_cast<uint32_t>(me) + 1; }

// What the daemon does when the socket of thread `me` hangs up.
inline void MendFor(int me) {
  if (Has(Bug::kNobodyMends)) return;
  ModelMender mender(Place::memory, sizeof(Place::memory));
  for (int i = 0; i < 2; ++i) {
    const layout::SyncSlot& at = Place::pages[me].slots[i];
    const auto load = [](const auto* word) {
      return Words::At(word).load(rl::mo_relaxed, $);
    };
    layout::SyncSlot slot = {};
    slot.state = static_cast<uint32_t>(load(&at.state));
    if (slot.state == 0) continue;
    slot.offset_bytes = load(&at.offset_bytes);
    slot.kind = static_cast<uint32_t>(load(&at.kind));
    slot.detail = static_cast<uint32_t>(load(&at.detail));
    slot.counted = static_cast<uint32_t>(load(&at.counted));
    mender.Mend(slot, NumberOf(me));
  }
}

// Runs `run` as a thread that may die; then `died`, what the daemon does, and
// `revived`: what somebody else does who comes later.
template <typename Run, typename OnDeath, typename Revived>
void RunMortal(const Run& run, const OnDeath& died, const Revived& revived) {
  SyncWorld& world = *SyncWorld::current;
  try {
    run();
    return;
  } catch (const Died&) {
  }
  died();
  MendFor(SyncWorld::Me());
  world.victim = -1;
  world.dead[SyncWorld::Me()] = false;
  world.any_died = true;
  revived();
}

}  // namespace shmd::model

#endif  // SHMD_TESTS_MODEL_SYNC_MODEL_H_
