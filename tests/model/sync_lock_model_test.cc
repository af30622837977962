// Primitives with an owner under Relacy: mutex, reader-writer lock and value.
// One thread may die after any of its stores; the daemon then lets go for it.

#include <gtest/gtest.h>

#include "shm/sync/mutex.h"
#include "shm/sync/rw_lock.h"
#include "shm/sync/seq_value.h"
#include "tests/model/sync_model.h"
#include "tests/model/sync_suite.h"

namespace shmd::model {
namespace {

using Mutex = BasicMutex<SyncMemory, SyncFutex>;
using RwLock = BasicRwLock<SyncMemory, SyncFutex, SmallRwLock>;
using SeqValue = BasicSeqValue<SyncMemory, SyncFutex>;

uint32_t OwnerNow() {
  return static_cast<uint32_t>(
             Words::At(WordOfPrimitive(4)).load(rl::mo_relaxed, $)) &
         layout::kLockerMask;
}

// What a lock guards, and what of it was told.
struct Guarded {
  rl::var<int> data;
  int inside = 0;
  bool must_tell = false;
  int repaired = 0;

  void Begin() {
    data($) = 0;
    inside = 0;
    must_tell = false;
    repaired = 0;
  }
  // Alone.
  template <typename Lock>
  void Write(Lock& lock, SyncResult taken) {
    RL_ASSERT((taken == SyncResult::kDoneTorn) == must_tell);
    RL_ASSERT(inside++ == 0);
    data($) = data($) + 1;
    RL_ASSERT(--inside == 0);
    if (!must_tell) return;
    must_tell = false;
    ++repaired;
    RL_ASSERT(lock.MarkConsistent() == SyncResult::kDone);
  }
  void Died(int me) { must_tell = must_tell || OwnerNow() == NumberOf(me); }
};

struct MutexSuite : Model<kThreads> {
  SyncWorld world;
  Guarded guarded;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kMutex);
    guarded.Begin();
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    Mutex mutex(PrimitiveAs<layout::MutexLayout>(), {1, 0}, &locker);
    RunMortal(
        [&] {
          for (int i = 0; i < 2; ++i) {
            SyncHold hold;
            const SyncResult taken = mutex.Lock(&hold, kNoDeadlineNs);
            RL_ASSERT(IsDone(taken));
            guarded.Write(mutex, taken);
            RL_ASSERT(mutex.Unlock(&hold) == SyncResult::kDone);
          }
        },
        [&] { guarded.Died(me); }, [] {});
  }

  void after() override {
    RL_ASSERT(OwnerNow() == 0);
    CheckNobodyIsCounted();
  }
};

TEST(SyncMutexModelTest, ExcludesAndNobodySleepsForEver) {
  ExpectGood<MutexSuite>(kNobodyDies);
}

TEST(SyncMutexModelTest, OwnerMayDieAfterAnyStore) {
  ExpectGood<MutexSuite>(kOneDies);
}

TEST(SyncMutexModelTest, FindsEachSeededBug) {
  ExpectFound<MutexSuite>(Bug::kWeakWaiters, kNobodyDies);
  ExpectFound<MutexSuite>(Bug::kFutexDoesNotCompare, kNobodyDies);
  ExpectFound<MutexSuite>(Bug::kTakeIsRelaxed, kNobodyDies);
  ExpectFound<MutexSuite>(Bug::kReleaseIsRelaxed, kNobodyDies);
  ExpectFound<MutexSuite>(Bug::kNobodyIsWoken, kNobodyDies);
  ExpectFound<MutexSuite>(Bug::kNobodyMends, kOneDies);
  ExpectFound<MutexSuite>(Bug::kMenderWakesNobody, kOneDies);
  ExpectFound<MutexSuite>(Bug::kMenderIsSilent, kOneDies);
  ExpectFound<MutexSuite>(Bug::kSlotIsForgotten, kOneDies);
}

struct RwLockSuite : Model<kThreads> {
  SyncWorld world;
  Guarded guarded;

  void before() override {
    BeginSuite(&world, layout::SyncKind::kRwLock);
    guarded.Begin();
  }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    RwLock lock(PrimitiveAs<SmallRwLock>(), {1, 0}, &locker);
    RunMortal(
        [&] {
          Write(lock);
          // Two read, and the writer may come between.
          if (me != 2) Read(lock);
        },
        [&] { guarded.Died(me); }, [] {});
  }

  void Write(RwLock& lock) {
    SyncHold hold;
    const SyncResult taken = lock.LockExclusive(&hold, kNoDeadlineNs);
    RL_ASSERT(IsDone(taken));
    guarded.Write(lock, taken);
    RL_ASSERT(lock.UnlockExclusive(&hold) == SyncResult::kDone);
  }

  void Read(RwLock& lock) {
    SyncHold hold;
    const int torn_before = guarded.must_tell ? guarded.repaired : -1;
    const SyncResult taken = lock.LockShared(&hold, kNoDeadlineNs);
    RL_ASSERT(IsDone(taken));
    // A writer may die at the door while this one is in.
    if (torn_before == guarded.repaired) {
      RL_ASSERT(taken == SyncResult::kDoneTorn);
    }
    if (!world.dead[0] && !world.any_died)
      RL_ASSERT(taken == SyncResult::kDone);
    RL_ASSERT(guarded.inside == 0);
    RL_ASSERT(guarded.data($) >= 0);
    RL_ASSERT(lock.UnlockShared(&hold) == SyncResult::kDone);
  }

  void after() override {
    RL_ASSERT(OwnerNow() == 0);
    for (const uint32_t& reader : PrimitiveAs<SmallRwLock>()->readers) {
      RL_ASSERT(Words::At(&reader).load(rl::mo_relaxed, $) == 0);
    }
    CheckNobodyIsCounted();
  }
};

TEST(SyncRwLockModelTest, ExcludesAndNobodySleepsForEver) {
  ExpectGood<RwLockSuite>(kNobodyDies);
}

TEST(SyncRwLockModelTest, OneMayDieAfterAnyStore) {
  ExpectGood<RwLockSuite>(kOneDies);
}

TEST(SyncRwLockModelTest, FindsEachSeededBug) {
  ExpectFound<RwLockSuite>(Bug::kWeakWaiters, kNobodyDies);
  ExpectFound<RwLockSuite>(Bug::kFutexDoesNotCompare, kNobodyDies);
  ExpectFound<RwLockSuite>(Bug::kReaderIsRelaxed, kNobodyDies);
  ExpectFound<RwLockSuite>(Bug::kLeftIsNotCounted, kNobodyDies);
  ExpectFound<RwLockSuite>(Bug::kOneIsNotAll, kNobodyDies);
  ExpectFound<RwLockSuite>(Bug::kNobodyMends, kOneDies);
  ExpectFound<RwLockSuite>(Bug::kMenderWakesNobody, kOneDies);
  ExpectFound<RwLockSuite>(Bug::kMenderIsSilent, kOneDies);
}

struct SeqValueSuite : Model<kThreads> {
  SyncWorld world;

  void before() override { BeginSuite(&world, layout::SyncKind::kSeqValue); }

  void thread(unsigned index) override {
    const int me = static_cast<int>(index);
    ModelLocker locker(&Place::pages[me], NumberOf(me));
    auto* const copies = reinterpret_cast<uint64_t*>(
        Place::memory + sizeof(layout::SeqValueLayout));
    SeqValue value(PrimitiveAs<layout::SeqValueLayout>(), copies, /*words=*/2,
                   {1, 0}, &locker);
    RunMortal(
        [&] {
          if (me != 2) {
            for (uint64_t i = 1; i < 3; ++i) {
              const uint64_t written[2] = {NumberOf(me) * 10 + i,
                                           ~uint64_t{NumberOf(me) * 10 + i}};
              RL_ASSERT(value.Write(written, kNoDeadlineNs) ==
                        SyncResult::kDone);
            }
          } else {
            for (int i = 0; i < 2; ++i) CheckWhole(value);
          }
        },
        [] {}, [] {});
  }

  // At first there are zeros.
  static void CheckWhole(const SeqValue& value) {
    uint64_t read[2] = {};
    RL_ASSERT(value.Read(read, kNoDeadlineNs) == SyncResult::kDone);
    RL_ASSERT(read[1] == ~read[0] || (read[0] == 0 && read[1] == 0));
  }

  void after() override {
    RL_ASSERT(OwnerNow() == 0);
    CheckNobodyIsCounted();
  }
};

TEST(SyncSeqValueModelTest, IsReadWhole) {
  ExpectGood<SeqValueSuite>(kNobodyDies);
}

TEST(SyncSeqValueModelTest, WriterMayDieAfterAnyStore) {
  ExpectGood<SeqValueSuite>(kOneDies);
}

TEST(SyncSeqValueModelTest, FindsEachSeededBug) {
  ExpectFound<SeqValueSuite>(Bug::kCopyIsRelaxed, kNobodyDies);
  ExpectFound<SeqValueSuite>(Bug::kSequenceIsRelaxed, kNobodyDies);
  ExpectFound<SeqValueSuite>(Bug::kOneCopy, kNobodyDies);
  ExpectFound<SeqValueSuite>(Bug::kNobodyMends, kOneDies);
}

}  // namespace
}  // namespace shmd::model
