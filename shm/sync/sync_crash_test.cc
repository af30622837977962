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

// What both do; `Memory` and who they are differ.
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
  std::thread other([&] {
    HostMemory::Store(shared.flag(0), uint32_t{1}, std::memory_order_release);
    for (int after = 0; after < 2;) {
      if (mended) ++after;
      if (Use::Turn(program, kLiving) == SyncResult::kDoneTorn) ++told;
    }
  });
  int status = 0;
  waitpid(child, &status, 0);
  const uint32_t word =
      HostMemory::Load(program.At<layout::MutexLayout>()->head == 0
                           ? shared.flag(2)
                           : &program.At<layout::MutexLayout>()->word,
                       std::memory_order_acquire);
  const bool owned = Use::kIsTold && (word & layout::kLockerMask) == kDying;
  shared.Mend(0, kDying);
  mended = true;
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

using Uses = testing::Types<UseMutex, UseRwLock, UseSeqValue, UseSemaphore>;
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
