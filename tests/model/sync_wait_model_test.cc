// Primitives that nobody owns under Relacy: semaphore, event, barrier and
// condition. One thread may die after any of its stores; nobody sleeps on
// because of it.

#include <gtest/gtest.h>

#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/semaphore.h"
#include "tests/model/sync_model.h"
#include "tests/model/sync_suite.h"

namespace shmd::model {
namespace {

using Semaphore = BasicSemaphore<SyncMemory, SyncFutex>;
using Event = BasicEvent<SyncMemory, SyncFutex>;
using Barrier = BasicBarrier<SyncMemory, SyncFutex>;
using Condition = BasicCondition<SyncMemory, SyncFutex>;
using Mutex = BasicMutex<SyncMemory, SyncFutex>;

void Set(const uint32_t* word, uint32_t value) {
  Words::At(word).store(value, rl::mo_relaxed, $);
}

struct SemaphoreSuite : Model<kThreads> {
  SyncWorld world;
  rl::var<int> data;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kSemaphore);
    Set(WordOfPrimitive(4), 1);
    data($) = 0;
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Semaphore semaphore(PrimitiveAs<layout::SemaphoreLayout>(), {1, 0},
                        &locker);
    for (int i = 0; i < 2; ++i) {
      RL_ASSERT(semaphore.Acquire(kNoDeadlineNs) == SyncResult::kDone);
      data($) = data($) + 1;
      RL_ASSERT(semaphore.Release(1) == SyncResult::kDone);
    }
  }

  void after() override {
    RL_ASSERT(Words::At(WordOfPrimitive(4)).load(rl::mo_relaxed, $) == 1);
    CheckNobodyIsCounted();
  }
};

// Who gives two units may die, or who takes one and gives it back; what it
// still owes comes from elsewhere.
struct DyingSemaphoreSuite : Model<kThreads> {
  SyncWorld world;
  bool giver_dies = false;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kSemaphore);
    giver_dies = rl::rand(2) == 0;
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Semaphore semaphore(PrimitiveAs<layout::SemaphoreLayout>(), {1, 0},
                        &locker);
    RunMortal([&] { Run(semaphore, me); }, [] {}, [&] { PayDebt(semaphore); });
  }

  void Run(Semaphore& semaphore, int me) {
    if (giver_dies) {
      RL_ASSERT(me == 0
                    ? semaphore.Release(2) == SyncResult::kDone
                    : semaphore.Acquire(kNoDeadlineNs) == SyncResult::kDone);
      return;
    }
    if (me != 1) {
      RL_ASSERT(semaphore.Acquire(kNoDeadlineNs) == SyncResult::kDone);
    }
    RL_ASSERT(semaphore.Release(1) == SyncResult::kDone);
  }

  void PayDebt(Semaphore& semaphore) {
    if (giver_dies && world.changes[0] == 0) semaphore.Release(2);
    if (!giver_dies && world.changes[0] == 1) semaphore.Release(1);
  }

  void after() override { CheckNobodyIsCounted(); }
};

// One of three that sleep has a deadline, and leaves what it gets to the
// others; for these there is enough.
struct ImpatientSemaphoreSuite : Model<kMostThreads> {
  SyncWorld world;

  void before() override { BeginSuite(&world, layout::SyncKind::kSemaphore); }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Semaphore semaphore(PrimitiveAs<layout::SemaphoreLayout>(), {1, 0},
                        &locker);
    if (me == 0) {
      world.AwaitSleepers(3);
      const unsigned expires_at = rl::rand(3);
      for (unsigned i = 0; i < 3; ++i) {
        if (i == expires_at) world.Expire();
        if (i < 2) semaphore.Release(1);
      }
    } else if (me == 1) {
      if (semaphore.Acquire(kSomeDeadlineNs) == SyncResult::kDone) {
        semaphore.Release(1);
      }
    } else {
      RL_ASSERT(semaphore.Acquire(kNoDeadlineNs) == SyncResult::kDone);
    }
  }

  void after() override {
    RL_ASSERT(Words::At(WordOfPrimitive(4)).load(rl::mo_relaxed, $) == 0);
    CheckNobodyIsCounted();
  }
};

TEST(SyncSemaphoreModelTest, WhoLeavesKeepsNoWakeFromOthers) {
  ExpectGood<ImpatientSemaphoreSuite>(kNobodyDies);
}

TEST(SyncSemaphoreModelTest, CountsAndNobodySleepsForEver) {
  ExpectGood<SemaphoreSuite>(kNobodyDies);
}

TEST(SyncSemaphoreModelTest, OneMayDieAfterAnyStore) {
  ExpectGood<DyingSemaphoreSuite>(kOneDies);
}

TEST(SyncSemaphoreModelTest, FindsEachSeededBug) {
  ExpectFound<SemaphoreSuite>(Bug::kWeakWaiters, kNobodyDies);
  ExpectFound<SemaphoreSuite>(Bug::kFutexDoesNotCompare, kNobodyDies);
  ExpectFound<SemaphoreSuite>(Bug::kTakeIsRelaxed, kNobodyDies);
  ExpectFound<SemaphoreSuite>(Bug::kReleaseIsRelaxed, kNobodyDies);
  ExpectFound<ImpatientSemaphoreSuite>(Bug::kWakeIsKept, kNobodyDies);
  ExpectFound<DyingSemaphoreSuite>(Bug::kNobodyMends, kOneDies);
  ExpectFound<DyingSemaphoreSuite>(Bug::kSlotIsForgotten, kOneDies);
}

// Each lets the next one through.
struct AutomaticEventSuite : Model<kThreads> {
  SyncWorld world;
  rl::var<int> data;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kEvent);
    Set(WordOfPrimitive(4), layout::kEventSet);
    Set(WordOfPrimitive(12), 1);
    data($) = 0;
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Event event(PrimitiveAs<layout::EventLayout>(), {1, 0}, &locker);
    RunMortal(
        [&] {
          for (int i = 0; i < 2; ++i) {
            RL_ASSERT(event.Wait(kNoDeadlineNs) == SyncResult::kDone);
            if (!scenario.one_dies) data($) = data($) + 1;
            event.Set();
          }
        },
        // It may have died in between.
        [] {}, [&] { event.Set(); });
  }

  void after() override { CheckNobodyIsCounted(); }
};

TEST(SyncEventModelTest, EachSetLetsOneThrough) {
  ExpectGood<AutomaticEventSuite>(kNobodyDies);
}

TEST(SyncEventModelTest, OneMayDieAfterAnyStore) {
  ExpectGood<AutomaticEventSuite>(kOneDies);
}

TEST(SyncEventModelTest, FindsEachSeededBugOfAutomaticReset) {
  ExpectFound<AutomaticEventSuite>(Bug::kWeakWaiters, kNobodyDies);
  ExpectFound<AutomaticEventSuite>(Bug::kFutexDoesNotCompare, kNobodyDies);
  ExpectFound<AutomaticEventSuite>(Bug::kTakeIsRelaxed, kNobodyDies);
  ExpectFound<AutomaticEventSuite>(Bug::kReleaseIsRelaxed, kNobodyDies);
  ExpectFound<AutomaticEventSuite>(Bug::kNobodyMends, kOneDies);
}

// One sets, and resets at once; the others were there before, or come later
// and find the next one.
struct ManualEventSuite : Model<kThreads> {
  SyncWorld world;
  bool resets = false;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kEvent);
    resets = rl::rand(2) == 0;
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Event event(PrimitiveAs<layout::EventLayout>(), {1, 0}, &locker);
    RunMortal(
        [&] {
          if (me != 0) {
            RL_ASSERT(event.Wait(kNoDeadlineNs) == SyncResult::kDone);
            return;
          }
          event.Set();
          if (!resets) return;
          event.Reset();
          event.Set();
        },
        [] {}, [&] { event.Set(); });
  }

  void after() override { CheckNobodyIsCounted(); }
};

TEST(SyncEventModelTest, SetLetsAllThroughAlthoughItIsResetAtOnce) {
  ExpectGood<ManualEventSuite>(kNobodyDies);
}

TEST(SyncEventModelTest, WhoSetsMayDieAfterAnyStore) {
  ExpectGood<ManualEventSuite>(kOneDies);
}

TEST(SyncEventModelTest, FindsEachSeededBugOfManualReset) {
  ExpectFound<ManualEventSuite>(Bug::kWeakWaiters, kNobodyDies);
  ExpectFound<ManualEventSuite>(Bug::kOneIsNotAll, kNobodyDies);
  ExpectFound<ManualEventSuite>(Bug::kNobodyMends, kOneDies);
}

struct BarrierSuite : Model<kThreads> {
  static constexpr int kRounds = 2;
  SyncWorld world;
  rl::var<int> data[kThreads];
  int last = 0;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kBarrier);
    Set(WordOfPrimitive(12), kThreads);
    for (auto& mine : data) mine($) = 0;
    last = 0;
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Barrier barrier(PrimitiveAs<layout::BarrierLayout>(), {1, 0}, &locker);
    RunMortal([&] { GoThrough(barrier, me); }, [] {},
              // It may have died between two rounds, which nobody can see.
              [] {
                if (Has(Bug::kNobodyMends)) return;
                ModelMender(Place::memory, sizeof(Place::memory)).Break(0);
              });
  }

  void GoThrough(Barrier& barrier, int me) {
    for (int round = 1; round <= kRounds; ++round) {
      if (!scenario.one_dies) data[me]($) = round;
      bool is_last = false;
      const SyncResult passed = barrier.Wait(kNoDeadlineNs, &is_last);
      if (passed == SyncResult::kBroken) {
        RL_ASSERT(scenario.one_dies);
        return;
      }
      RL_ASSERT(passed == SyncResult::kDone);
      last += is_last;
      if (scenario.one_dies) continue;
      for (auto& theirs : data) RL_ASSERT(theirs($) == round);
      RL_ASSERT(barrier.Wait(kNoDeadlineNs) == SyncResult::kDone);
    }
  }

  void after() override {
    if (!scenario.one_dies) RL_ASSERT(last == kRounds);
    CheckNobodyIsCounted();
  }
};

TEST(SyncBarrierModelTest, AllMeetInEachRound) {
  ExpectGood<BarrierSuite>(kNobodyDies);
}

TEST(SyncBarrierModelTest, OneMayDieAfterAnyStore) {
  ExpectGood<BarrierSuite>(kOneDies);
}

TEST(SyncBarrierModelTest, FindsEachSeededBug) {
  ExpectFound<BarrierSuite>(Bug::kWeakWaiters, kNobodyDies);
  ExpectFound<BarrierSuite>(Bug::kFutexDoesNotCompare, kNobodyDies);
  ExpectFound<BarrierSuite>(Bug::kTakeIsRelaxed, kNobodyDies);
  ExpectFound<BarrierSuite>(Bug::kReleaseIsRelaxed, kNobodyDies);
  ExpectFound<BarrierSuite>(Bug::kOneIsNotAll, kNobodyDies);
  ExpectFound<BarrierSuite>(Bug::kRoundIsNotBroken, kOneDies);
  ExpectFound<BarrierSuite>(Bug::kNobodyMends, kOneDies);
}

// The last thread lays something down and signals; each of the others sees it
// and passes the signal on.
struct ConditionSuite : Model<kThreads> {
  static constexpr uint64_t kMutexAt = 256;
  SyncWorld world;
  rl::var<int> item;
  bool was_at_condition = false;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kCondition);
    Set(WordOfPrimitive(kMutexAt), layout::SyncHead(layout::SyncKind::kMutex));
    item($) = 0;
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Condition condition(PrimitiveAs<layout::ConditionLayout>(), {1, 0},
                        &locker);
    Mutex mutex(
        reinterpret_cast<layout::MutexLayout*>(Place::memory + kMutexAt),
        {1, kMutexAt}, &locker);
    RunMortal(
        [&] {
          SyncHold hold;
          RL_ASSERT(IsDone(mutex.Lock(&hold, kNoDeadlineNs)));
          if (me == kThreads - 1) item($) = 1;
          while (item($) == 0) {
            const auto waited =
                condition.Wait(&mutex, &hold, kNoDeadlineNs, kNoDeadlineNs);
            RL_ASSERT(waited.signalled && IsDone(waited.lock));
          }
          RL_ASSERT(mutex.Unlock(&hold) == SyncResult::kDone);
          condition.Signal();
        },
        [&] { was_at_condition = IsAtCondition(me); },
        // It died before it began to pass the signal on.
        [&] {
          if (!was_at_condition) condition.Signal();
        });
  }

  static bool IsAtCondition(int me) {
    for (int i = 0; i < 2; ++i) {
      const layout::SyncSlot& slot = Place::pages[me].slots[i];
      const auto kind = static_cast<uint64_t>(layout::SyncKind::kCondition);
      if (Words::At(&slot.state).load(rl::mo_relaxed, $) != 0 &&
          Words::At(&slot.kind).load(rl::mo_relaxed, $) == kind) {
        return true;
      }
    }
    return false;
  }

  void after() override { CheckNobodyIsCounted(); }
};

TEST(SyncConditionModelTest, SignalIsNotLost) {
  ExpectGood<ConditionSuite>(kNobodyDies);
}

TEST(SyncConditionModelTest, OneMayDieAfterAnyStore) {
  ExpectGood<ConditionSuite>(kOneDies);
}

TEST(SyncConditionModelTest, FindsEachSeededBug) {
  ExpectFound<ConditionSuite>(Bug::kFutexDoesNotCompare, kNobodyDies);
  ExpectFound<ConditionSuite>(Bug::kNobodyIsWoken, kNobodyDies);
  ExpectFound<ConditionSuite>(Bug::kNobodyMends, kOneDies);
  ExpectFound<ConditionSuite>(Bug::kMenderWakesNobody, kOneDies);
  ExpectFound<ConditionSuite>(Bug::kSlotIsForgotten, kOneDies);
}

}  // namespace
}  // namespace shmd::model
