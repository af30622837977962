// Each primitive by itself: what it promises, deadlines, and what is no
// primitive.

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "shm/sync/sync_fixture.h"

namespace shmd {
namespace {

using layout::HostMemory;

// Counts what it asks of the kernel.
struct CountingFutex : HostFutex {
  static bool Wait(const uint32_t* word, uint32_t expected, uint64_t deadline) {
    ++calls;
    return HostFutex::Wait(word, expected, deadline);
  }
  static void WakeOne(const uint32_t* word) {
    ++calls;
    HostFutex::WakeOne(word);
  }
  static void WakeSome(const uint32_t* word, uint32_t count) {
    ++calls;
    HostFutex::WakeSome(word, count);
  }
  static void WakeAll(const uint32_t* word) {
    ++calls;
    HostFutex::WakeAll(word);
  }
  inline static int calls = 0;
};

using CountedLocker = BasicLocker<HostMemory, CountingFutex>;

class SyncTest : public testing::Test {
 protected:
  int UsedSlots(int session) const {
    int used = 0;
    for (const layout::SyncSlot& slot : shared_.page(session)->slots) {
      used += slot.state != 0;
    }
    return used;
  }

  SharedSync shared_;
  BasicLocker<HostMemory, HostFutex> first_{shared_.page(0), 1};
  BasicLocker<HostMemory, HostFutex> second_{shared_.page(1), 2};
};

using HostMutex = BasicMutex<HostMemory, HostFutex>;
using HostRwLock = BasicRwLock<HostMemory, HostFutex>;
using HostSemaphore = BasicSemaphore<HostMemory, HostFutex>;
using HostEvent = BasicEvent<HostMemory, HostFutex>;
using HostBarrier = BasicBarrier<HostMemory, HostFutex>;
using HostCondition = BasicCondition<HostMemory, HostFutex>;
using HostSeqValue = BasicSeqValue<HostMemory, HostFutex>;

TEST_F(SyncTest, HeadTellsKindAndIsStoredOnce) {
  auto* const at = shared_.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  EXPECT_EQ(KindAt<HostMemory>(&at->head), layout::SyncKind::kMutex);
  EXPECT_FALSE(
      PublishHead<HostMemory>(&at->head, layout::SyncKind::kSemaphore));
  at->head ^= 0x300;
  EXPECT_EQ(KindAt<HostMemory>(&at->head), layout::SyncKind::kRwLock);
  at->head = layout::SyncHead(layout::SyncKind::kMutex) + 1;
  EXPECT_EQ(KindAt<HostMemory>(&at->head), layout::SyncKind::kNone);
}

TEST_F(SyncTest, MutexIsTakenByOneAtATime) {
  auto* const at = shared_.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  HostMutex first(at, kFirst, &first_), second(at, kFirst, &second_);
  SyncHold hold, other;
  ASSERT_EQ(first.Lock(&hold, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(at->word, 1u);
  EXPECT_EQ(second.TryLock(&other), SyncResult::kBusy);
  EXPECT_EQ(second.Lock(&other, SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(second.Unlock(&other), SyncResult::kNotOwner);
  EXPECT_EQ(UsedSlots(1), 0);
  const layout::SyncSlot& slot = shared_.page(0)->slots[hold.slot];
  EXPECT_EQ(slot.generation, SharedSync::kGeneration);
  EXPECT_EQ(slot.state, static_cast<uint32_t>(layout::SyncState::kHolding));
  EXPECT_EQ(slot.kind, static_cast<uint32_t>(layout::SyncKind::kMutex));
  EXPECT_EQ(first.Unlock(&hold), SyncResult::kDone);
  EXPECT_EQ(first.Unlock(&hold), SyncResult::kNotOwner);
  EXPECT_EQ(second.TryLock(&other), SyncResult::kDone);
  EXPECT_EQ(second.Unlock(&other), SyncResult::kDone);
  EXPECT_EQ(at->word, 0u);
  EXPECT_EQ(at->waiters, 0u);
  EXPECT_EQ(UsedSlots(0) + UsedSlots(1), 0);
}

TEST_F(SyncTest, NextOwnersAreToldUntilOneSaysThatAllIsWhole) {
  auto* const at = shared_.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  HostMutex first(at, kFirst, &first_), second(at, kFirst, &second_);
  SyncHold dead, hold;
  ASSERT_EQ(first.Lock(&dead, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(shared_.Mend(0, 1), 1);
  EXPECT_EQ(first.Unlock(&dead), SyncResult::kNotOwner);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(second.Lock(&hold, SoonNs()), SyncResult::kDoneTorn);
    ASSERT_EQ(second.Unlock(&hold), SyncResult::kDone);
  }
  ASSERT_EQ(second.Lock(&hold, SoonNs()), SyncResult::kDoneTorn);
  EXPECT_EQ(first.MarkConsistent(), SyncResult::kNotOwner);
  EXPECT_EQ(second.MarkConsistent(), SyncResult::kDone);
  ASSERT_EQ(second.Unlock(&hold), SyncResult::kDone);
  ASSERT_EQ(second.Lock(&hold, SoonNs()), SyncResult::kDone);
  ASSERT_EQ(second.Unlock(&hold), SyncResult::kDone);
}

TEST_F(SyncTest, SessionThatIsAtTooManyPrimitivesIsRefused) {
  auto* const at = shared_.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  HostMutex mutex(at, kFirst, &first_);
  for (uint32_t i = 0; i < layout::kSyncSlots; ++i) {
    ASSERT_NE(first_.Announce(kFirst, layout::SyncKind::kMutex,
                              layout::SyncState::kWaiting),
              kNoSlot);
  }
  SyncHold hold;
  EXPECT_EQ(mutex.Lock(&hold, kNoDeadlineNs), SyncResult::kNoSlots);
  EXPECT_EQ(at->word, 0u);
  first_.Clear(513);
  EXPECT_EQ(mutex.Lock(&hold, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(hold.slot, 513u);
}

TEST_F(SyncTest, RwLockLetsReadersInTogetherAndWritersAlone) {
  auto* const at =
      shared_.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  HostRwLock first(at, kFirst, &first_), second(at, kFirst, &second_);
  SyncHold read, again, write;
  ASSERT_EQ(first.LockShared(&read, kNoDeadlineNs), SyncResult::kDone);
  ASSERT_EQ(second.LockShared(&again, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(second.LockExclusive(&write, SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(at->word, 0u);
  EXPECT_EQ(first.UnlockShared(&read), SyncResult::kDone);
  EXPECT_EQ(second.UnlockShared(&again), SyncResult::kDone);
  EXPECT_EQ(second.UnlockShared(&again), SyncResult::kNotOwner);
  ASSERT_EQ(second.LockExclusive(&write, SoonNs()), SyncResult::kDone);
  EXPECT_EQ(first.LockShared(&read, SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(second.UnlockExclusive(&write), SyncResult::kDone);
  EXPECT_EQ(UsedSlots(0) + UsedSlots(1), 0);
}

TEST_F(SyncTest, RwLockHasRoomForSoManyReaders) {
  auto* const at =
      shared_.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  HostRwLock lock(at, kFirst, &first_);
  std::vector<SyncHold> holds(layout::kRwReaders + 1);
  for (uint32_t i = 0; i < layout::kRwReaders; ++i) {
    ASSERT_EQ(lock.LockShared(&holds[i], SoonNs()), SyncResult::kDone);
  }
  EXPECT_EQ(lock.LockShared(&holds.back(), SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(lock.UnlockShared(&holds[5]), SyncResult::kDone);
  EXPECT_EQ(lock.LockShared(&holds.back(), SoonNs()), SyncResult::kDone);
}

TEST_F(SyncTest, DeadReadersAreLetGoAndTearNothing) {
  auto* const at =
      shared_.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  HostRwLock first(at, kFirst, &first_), second(at, kFirst, &second_);
  SyncHold dead, hold;
  ASSERT_EQ(first.LockShared(&dead, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(shared_.Mend(0, 1), 1);
  EXPECT_EQ(second.LockExclusive(&hold, SoonNs()), SyncResult::kDone);
  EXPECT_EQ(second.UnlockExclusive(&hold), SyncResult::kDone);
  EXPECT_EQ(first.UnlockShared(&dead), SyncResult::kNotOwner);
}

TEST_F(SyncTest, SemaphoreCountsToItsLimit) {
  auto* const at =
      shared_.Make<layout::SemaphoreLayout>(layout::SyncKind::kSemaphore);
  HostSemaphore semaphore(at, kFirst, &first_);
  EXPECT_EQ(semaphore.TryAcquire(), SyncResult::kBusy);
  EXPECT_EQ(semaphore.Acquire(SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(semaphore.Release(2), SyncResult::kDone);
  EXPECT_EQ(semaphore.Acquire(SoonNs()), SyncResult::kDone);
  EXPECT_EQ(semaphore.TryAcquire(), SyncResult::kDone);
  EXPECT_EQ(semaphore.Count(), 0u);
  EXPECT_EQ(semaphore.Release(layout::kMaxSemaphoreCount), SyncResult::kDone);
  EXPECT_EQ(semaphore.Release(1), SyncResult::kOverflow);
  EXPECT_EQ(semaphore.Count(), layout::kMaxSemaphoreCount);
  EXPECT_EQ(at->waiters, 0u);
  EXPECT_EQ(UsedSlots(0), 0);
}

TEST_F(SyncTest, EventStaysSetOrLetsOneThrough) {
  auto* const at = shared_.Make<layout::EventLayout>(layout::SyncKind::kEvent);
  HostEvent event(at, kFirst, &first_);
  EXPECT_EQ(event.Wait(SoonNs()), SyncResult::kTimedOut);
  event.Set();
  EXPECT_EQ(event.Wait(SoonNs()), SyncResult::kDone);
  EXPECT_EQ(event.Wait(SoonNs()), SyncResult::kDone);
  event.Reset();
  EXPECT_FALSE(event.IsSet());
  EXPECT_EQ(event.Wait(SoonNs()), SyncResult::kTimedOut);
  at->reset = static_cast<uint32_t>(layout::EventReset::kAutomatic);
  event.Set();
  event.Set();
  EXPECT_EQ(event.Wait(SoonNs()), SyncResult::kDone);
  EXPECT_EQ(event.Wait(SoonNs()), SyncResult::kTimedOut);
}

TEST_F(SyncTest, BarrierTakesBackWhoCannotWait) {
  auto* const at =
      shared_.Make<layout::BarrierLayout>(layout::SyncKind::kBarrier);
  at->parties = 2;
  HostBarrier first(at, kFirst, &first_), second(at, kFirst, &second_);
  EXPECT_EQ(first.Wait(SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(layout::BarrierArrived(at->word), 0u);
  std::thread other(
      [&] { EXPECT_EQ(second.Wait(kNoDeadlineNs), SyncResult::kDone); });
  EXPECT_EQ(first.Wait(kNoDeadlineNs), SyncResult::kDone);
  other.join();
  EXPECT_EQ(layout::BarrierRound(at->word), 1u);
}

TEST_F(SyncTest, BarrierThatOneDiesAtIsBrokenUntilReset) {
  auto* const at =
      shared_.Make<layout::BarrierLayout>(layout::SyncKind::kBarrier);
  at->parties = 3;
  HostBarrier barrier(at, kFirst, &first_);
  // What one that waits has in its slot.
  second_.Announce(kFirst, layout::SyncKind::kBarrier,
                   layout::SyncState::kWaiting, /*detail=*/0);
  std::thread waits(
      [&] { EXPECT_EQ(barrier.Wait(kNoDeadlineNs), SyncResult::kBroken); });
  EXPECT_EQ(shared_.Mend(1, 2), 1);
  waits.join();
  EXPECT_EQ(barrier.Wait(kNoDeadlineNs), SyncResult::kBroken);
  barrier.Reset();
  EXPECT_EQ(barrier.Wait(SoonNs()), SyncResult::kTimedOut);
  std::thread again(
      [&] { EXPECT_EQ(barrier.Wait(kNoDeadlineNs), SyncResult::kBroken); });
  while (layout::BarrierArrived(
             HostMemory::Load(&at->word, std::memory_order_acquire)) == 0) {
    std::this_thread::yield();
  }
  barrier.Reset();
  again.join();
}

TEST_F(SyncTest, ConditionWaitsWithoutTheMutex) {
  auto* const at =
      shared_.Make<layout::ConditionLayout>(layout::SyncKind::kCondition);
  layout::MutexLayout word = {};
  HostCondition condition(at, kFirst, &first_);
  HostMutex mutex(&word, {SharedSync::kGeneration, 64}, &first_);
  SyncHold hold;
  ASSERT_EQ(mutex.Lock(&hold, kNoDeadlineNs), SyncResult::kDone);
  HostCondition::Waited waited =
      condition.Wait(&mutex, &hold, SoonNs(), kNoDeadlineNs);
  EXPECT_FALSE(waited.signalled);
  EXPECT_EQ(waited.lock, SyncResult::kDone);
  std::thread signals([&] {
    SyncHold theirs;
    EXPECT_EQ(mutex.Lock(&theirs, kNoDeadlineNs), SyncResult::kDone);
    condition.Signal();
    EXPECT_EQ(mutex.Unlock(&theirs), SyncResult::kDone);
  });
  waited = condition.Wait(&mutex, &hold, kNoDeadlineNs, kNoDeadlineNs);
  EXPECT_TRUE(waited.signalled);
  EXPECT_EQ(waited.lock, SyncResult::kDone);
  EXPECT_EQ(mutex.Unlock(&hold), SyncResult::kDone);
  signals.join();
  waited = condition.Wait(&mutex, &hold, SoonNs(), kNoDeadlineNs);
  EXPECT_EQ(waited.lock, SyncResult::kNotOwner);
}

TEST_F(SyncTest, ValueOutlivesAWriterThatDiesInTheMiddle) {
  auto* const at =
      shared_.Make<layout::SeqValueLayout>(layout::SyncKind::kSeqValue);
  at->value_bytes = 24;
  auto* const copies =
      reinterpret_cast<uint64_t*>(shared_.memory() + sizeof(*at));
  HostSeqValue value(at, copies, 3, kFirst, &first_);
  const HostSeqValue reader(at, copies, 3, {}, nullptr);
  const uint64_t written[3] = {1, 2, 3};
  ASSERT_EQ(value.Write(written, kNoDeadlineNs), SyncResult::kDone);
  // One that has begun the next.
  const uint32_t slot = second_.Announce(kFirst, layout::SyncKind::kSeqValue,
                                         layout::SyncState::kHolding);
  ASSERT_NE(slot, kNoSlot);
  at->word = 2;
  copies[0] = 99;
  uint64_t read[3] = {};
  ASSERT_EQ(reader.Read(read, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(read[0], 1u);
  EXPECT_EQ(value.Write(written, SoonNs()), SyncResult::kTimedOut);
  EXPECT_EQ(shared_.Mend(1, 2), 1);
  const uint64_t next[3] = {4, 5, 6};
  ASSERT_EQ(value.Write(next, SoonNs()), SyncResult::kDone);
  ASSERT_EQ(reader.Read(read, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(read[2], 6u);
  EXPECT_EQ(at->word, 0u);
}

TEST_F(SyncTest, WhatIsUncontendedMakesNoSystemCall) {
  CountedLocker locker(shared_.page(0), 1);
  SyncHold hold;
  layout::MutexLayout mutex_at = {};
  BasicMutex<HostMemory, CountingFutex> mutex(&mutex_at, kFirst, &locker);
  layout::RwLockLayout lock_at = {};
  BasicRwLock<HostMemory, CountingFutex> lock(&lock_at, kFirst, &locker);
  layout::SemaphoreLayout semaphore_at = {};
  BasicSemaphore<HostMemory, CountingFutex> semaphore(&semaphore_at, kFirst,
                                                      &locker);
  layout::EventLayout event_at = {};
  BasicEvent<HostMemory, CountingFutex> event(&event_at, kFirst, &locker);
  layout::BarrierLayout barrier_at = {};
  barrier_at.parties = 1;
  BasicBarrier<HostMemory, CountingFutex> barrier(&barrier_at, kFirst, &locker);
  layout::ConditionLayout condition_at = {};
  BasicCondition<HostMemory, CountingFutex> condition(&condition_at, kFirst,
                                                      &locker);
  CountingFutex::calls = 0;
  EXPECT_EQ(mutex.Lock(&hold, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(mutex.Unlock(&hold), SyncResult::kDone);
  EXPECT_EQ(lock.LockShared(&hold, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(lock.UnlockShared(&hold), SyncResult::kDone);
  EXPECT_EQ(lock.LockExclusive(&hold, kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(lock.UnlockExclusive(&hold), SyncResult::kDone);
  EXPECT_EQ(semaphore.Release(1), SyncResult::kDone);
  EXPECT_EQ(semaphore.Acquire(kNoDeadlineNs), SyncResult::kDone);
  event.Set();
  EXPECT_EQ(event.Wait(kNoDeadlineNs), SyncResult::kDone);
  EXPECT_EQ(barrier.Wait(kNoDeadlineNs), SyncResult::kDone);
  condition.Signal();
  condition.Broadcast();
  EXPECT_EQ(CountingFutex::calls, 0);
}

}  // namespace
}  // namespace shmd
