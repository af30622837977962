// A program that is killed after each of its stores while another one is at
// the same primitive; then what the daemon does.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "shm/lane/dying_memory.h"
#include "shm/sync/sync_fixture.h"

namespace shmd {
namespace {

using layout::HostMemory;

constexpr uint32_t kDying = 1;
constexpr uint32_t kLiving = 2;
constexpr int kTurns = 3;
// Flags of the fixture: what the living one has seen of a condition, what there
// is to see, and whether the dead one was at it.
constexpr int kSeen = 3;
constexpr int kToSee = 4;
constexpr int kLeftSlot = 5;
constexpr uint32_t kConditionKind =
    static_cast<uint32_t>(layout::SyncKind::kCondition);

uint64_t InMs(uint64_t ms) { return sys::MonotonicNs() + ms * 1'000'000; }
// Nothing that is lost is waited for so long.
uint64_t LateNs() { return InMs(20'000); }

uint32_t Read(uint32_t* flag) {
  return HostMemory::Load(flag, std::memory_order_acquire);
}
void Write(uint32_t* flag, uint32_t value) {
  HostMemory::Store(flag, value, std::memory_order_release);
}

// What both do; `Memory` and who they are differ. `Help` is what the rest of
// the world does, again and again, once the dead one is mended: it wakes nobody
// who should have been woken already.
template <typename Memory>
struct Program {
  SharedSync* shared;
  BasicLocker<Memory, HostFutex>* locker;

  template <typename Layout>
  Layout* At() const {
    return reinterpret_cast<Layout*>(shared->memory());
  }
};

// Shows that nobody sleeps on and that no two are inside.
class Inside {
 public:
  Inside(SharedSync* shared, uint32_t who) : flag_(shared->flag(1)) {
    // The dead are not inside any more, whatever they have left here.
    const uint32_t before =
        HostMemory::Exchange(flag_, who, std::memory_order_acq_rel);
    EXPECT_TRUE(before == 0 || before == kDying) << before;
    EXPECT_FALSE(who == kDying && before != 0);
  }
  ~Inside() {
    HostMemory::Store(flag_, uint32_t{0}, std::memory_order_release);
  }

 private:
  uint32_t* const flag_;
};

struct UseMutex {
  static void Make(SharedSync& shared) {
    shared.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  }
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t who) {
    BasicMutex<Memory, HostFutex> mutex(
        program.template At<layout::MutexLayout>(), kFirst, program.locker);
    SyncHold hold;
    const SyncResult taken = mutex.Lock(&hold, kNoDeadlineNs);
    { const Inside inside(program.shared, who); }
    if (taken == SyncResult::kDoneTorn) mutex.MarkConsistent();
    EXPECT_EQ(mutex.Unlock(&hold), SyncResult::kDone);
    return taken;
  }
  static void Help(const Program<HostMemory>&) {}
  static constexpr bool kIsTold = true;
};

struct UseRwLock {
  static void Make(SharedSync& shared) {
    shared.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  }
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t who) {
    BasicRwLock<Memory, HostFutex> lock(
        program.template At<layout::RwLockLayout>(), kFirst, program.locker);
    SyncHold hold;
    EXPECT_TRUE(IsDone(lock.LockShared(&hold, kNoDeadlineNs)));
    EXPECT_EQ(lock.UnlockShared(&hold), SyncResult::kDone);
    const SyncResult taken = lock.LockExclusive(&hold, kNoDeadlineNs);
    { const Inside inside(program.shared, who); }
    if (taken == SyncResult::kDoneTorn) lock.MarkConsistent();
    EXPECT_EQ(lock.UnlockExclusive(&hold), SyncResult::kDone);
    return taken;
  }
  static void Help(const Program<HostMemory>&) {}
  static constexpr bool kIsTold = true;
};

struct UseSeqValue {
  static void Make(SharedSync& shared) {
    shared.Make<layout::SeqValueLayout>(layout::SyncKind::kSeqValue);
  }
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t who) {
    auto* const at = program.template At<layout::SeqValueLayout>();
    BasicSeqValue<Memory, HostFutex> value(
        at, reinterpret_cast<uint64_t*>(at + 1), 2, kFirst, program.locker);
    uint64_t words[2] = {};
    EXPECT_EQ(value.Read(words, kNoDeadlineNs), SyncResult::kDone);
    EXPECT_EQ(words[0], words[1]);
    words[0] = words[1] = words[0] * 4 + who;
    return value.Write(words, kNoDeadlineNs);
  }
  static void Help(const Program<HostMemory>&) {}
  static constexpr bool kIsTold = false;
};

// One unit more than it needs, for the dead may have taken one with it.
struct UseSemaphore {
  static void Make(SharedSync& shared) {
    shared.Make<layout::SemaphoreLayout>(layout::SyncKind::kSemaphore)->word =
        2;
  }
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t) {
    BasicSemaphore<Memory, HostFutex> semaphore(
        program.template At<layout::SemaphoreLayout>(), kFirst, program.locker);
    const SyncResult taken = semaphore.Acquire(kNoDeadlineNs);
    EXPECT_EQ(semaphore.Release(1), SyncResult::kDone);
    return taken;
  }
  static void Help(const Program<HostMemory>&) {}
  static constexpr bool kIsTold = false;
};

// The one that dies sets it again and again; the other one waits.
template <bool automatic>
struct UseEvent {
  static void Make(SharedSync& shared) {
    shared.Make<layout::EventLayout>(layout::SyncKind::kEvent)->reset =
        automatic ? 1 : 0;
  }
  template <typename Memory>
  static BasicEvent<Memory, HostFutex> At(const Program<Memory>& program) {
    return {program.template At<layout::EventLayout>(), kFirst, program.locker};
  }
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t who) {
    auto event = At(program);
    if (who == kLiving) {
      const SyncResult passed = event.Wait(LateNs());
      EXPECT_EQ(passed, SyncResult::kDone);
      return passed;
    }
    event.Reset();
    event.Wait(InMs(1));
    event.Set();
    return event.Wait(InMs(1));
  }
  // Where it is set already this wakes nobody.
  static void Help(const Program<HostMemory>& program) { At(program).Set(); }
  static constexpr bool kIsTold = false;
};

struct UseBarrier {
  static void Make(SharedSync& shared) {
    shared.Make<layout::BarrierLayout>(layout::SyncKind::kBarrier)->parties = 2;
  }
  template <typename Memory>
  static BasicBarrier<Memory, HostFutex> At(const Program<Memory>& program) {
    return {program.template At<layout::BarrierLayout>(), kFirst,
            program.locker};
  }
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t who) {
    auto barrier = At(program);
    if (who == kDying) {
      // Now and then nobody comes in time.
      barrier.Wait(InMs(1));
      return barrier.Wait(InMs(20));
    }
    const SyncResult passed = barrier.Wait(LateNs());
    EXPECT_NE(passed, SyncResult::kTimedOut);
    if (passed == SyncResult::kBroken) barrier.Reset();
    return passed;
  }
  // The other party: who dies between two rounds is missed by nobody.
  static void Help(const Program<HostMemory>& program) {
    At(program).Wait(InMs(1));
  }
  static constexpr bool kIsTold = false;
};

// The one that dies counts up and signals; the other one waits for each count.
struct UseCondition {
  static void Make(SharedSync& shared) {
    shared.Make<layout::ConditionLayout>(layout::SyncKind::kCondition);
    PublishHead<HostMemory>(&MutexAt(shared)->head, layout::SyncKind::kMutex);
  }
  static layout::MutexLayout* MutexAt(const SharedSync& shared) {
    return reinterpret_cast<layout::MutexLayout*>(shared.memory() + 64);
  }
  template <typename Memory>
  struct Both {
    explicit Both(const Program<Memory>& program)
        : mutex(MutexAt(*program.shared), {SharedSync::kGeneration, 64},
                program.locker),
          condition(program.template At<layout::ConditionLayout>(), kFirst,
                    program.locker) {}
    void Lock() {
      const SyncResult taken = mutex.Lock(&hold, LateNs());
      EXPECT_TRUE(IsDone(taken));
      if (taken == SyncResult::kDoneTorn) mutex.MarkConsistent();
    }
    BasicMutex<Memory, HostFutex> mutex;
    BasicCondition<Memory, HostFutex> condition;
    SyncHold hold;
  };
  template <typename Memory>
  static SyncResult Turn(const Program<Memory>& program, uint32_t who) {
    Both<Memory> both(program);
    uint32_t* const to_see = program.shared->flag(kToSee);
    uint32_t* const seen = program.shared->flag(kSeen);
    both.Lock();
    if (who == kDying) {
      Write(to_see, Read(to_see) + 1);
    } else {
      while (Read(to_see) == Read(seen)) {
        const auto waited =
            both.condition.Wait(&both.mutex, &both.hold, LateNs(), LateNs());
        EXPECT_TRUE(waited.signalled);
        if (waited.lock == SyncResult::kDoneTorn) both.mutex.MarkConsistent();
        if (!waited.signalled) break;
      }
      Write(seen, Read(to_see));
    }
    if (who == kDying) {
      both.condition.Wait(&both.mutex, &both.hold, InMs(1), LateNs());
    }
    both.mutex.Unlock(&both.hold);
    if (who == kDying) both.condition.Signal();
    return SyncResult::kDone;
  }
  static void Help(const Program<HostMemory>& program) {
    SharedSync& shared = *program.shared;
    // Who dies at the condition has its signal made up for, without this.
    if (Read(shared.flag(kLeftSlot)) != 0 &&
        Read(shared.flag(kSeen)) != Read(shared.flag(kToSee))) {
      return;
    }
    Write(shared.flag(kLeftSlot), 0);
    Both<HostMemory> both(program);
    both.Lock();
    Write(shared.flag(kToSee), Read(shared.flag(kToSee)) + 1);
    both.mutex.Unlock(&both.hold);
    both.condition.Signal();
  }
  static constexpr bool kIsTold = false;
};

void AwaitFlag(uint32_t* flag) {
  while (HostMemory::Load(flag, std::memory_order_acquire) == 0) sched_yield();
}

// Before any thread, so that the child has none but its own.
template <typename Use>
pid_t StartDying(SharedSync& shared, uint64_t stores) {
  const pid_t child = fork();
  if (child != 0) return child;
  AwaitFlag(shared.flag(0));
  DyingMemory::stores_left = stores;
  BasicLocker<DyingMemory, HostFutex> locker(shared.page(0), kDying);
  const Program<DyingMemory> program = {&shared, &locker};
  for (int i = 0; i < kTurns; ++i) Use::Turn(program, kDying);
  _exit(testing::Test::HasFailure() ? 1 : 0);
}

// Whether the child lived.
template <typename Use>
bool LivesOnAfter(uint64_t stores) {
  SharedSync shared;
  Use::Make(shared);
  const pid_t child = StartDying<Use>(shared, stores);
  BasicLocker<HostMemory, HostFutex> locker(shared.page(1), kLiving);
  const Program<HostMemory> program = {&shared, &locker};
  std::atomic<bool> mended{false};
  std::atomic<int> told{0};
  std::atomic<bool> done{false};
  std::thread other([&] {
    HostMemory::Store(shared.flag(0), uint32_t{1}, std::memory_order_release);
    for (int after = 0; after < 2;) {
      if (mended) ++after;
      if (Use::Turn(program, kLiving) == SyncResult::kDoneTorn) ++told;
    }
    done = true;
  });
  int status = 0;
  waitpid(child, &status, 0);
  const uint32_t word =
      HostMemory::Load(program.At<layout::MutexLayout>()->head == 0
                           ? shared.flag(2)
                           : &program.At<layout::MutexLayout>()->word,
                       std::memory_order_acquire);
  const bool owned = Use::kIsTold && (word & layout::kLockerMask) == kDying;
  for (const layout::SyncSlot& slot : shared.page(0)->slots) {
    if (slot.state != 0 && slot.kind == kConditionKind) {
      Write(shared.flag(kLeftSlot), 1);
    }
  }
  shared.Mend(0, kDying);
  mended = true;
  while (!done) {
    Use::Help(program);
    std::this_thread::yield();
  }
  other.join();
  EXPECT_EQ(told, owned ? 1 : 0) << "after store " << stores;
  const bool lived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  EXPECT_TRUE(lived || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  for (const layout::SyncSlot& slot : shared.page(1)->slots) {
    EXPECT_EQ(slot.state, 0u);
  }
  return lived;
}

template <typename Use>
class SyncCrashTest : public testing::Test {};

using Uses =
    testing::Types<UseMutex, UseRwLock, UseSeqValue, UseSemaphore,
                   UseEvent<false>, UseEvent<true>, UseBarrier, UseCondition>;
TYPED_TEST_SUITE(SyncCrashTest, Uses);

TYPED_TEST(SyncCrashTest, OthersGoOnAfterEachOfItsStores) {
  uint64_t stores = 1;
  // The number of stores is not the same in each run: one that waits makes
  // more of them.
  for (int lived = 0; lived < 10 && !testing::Test::HasFailure(); ++stores) {
    lived = LivesOnAfter<TypeParam>(stores) ? lived + 1 : 0;
  }
  EXPECT_GT(stores, uint64_t{kTurns * 8});
}

}  // namespace
}  // namespace shmd
