// Threads that meet at primitives; for the thread sanitizer too.

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "shm/sync/sync_fixture.h"

namespace shmd {
namespace {

using layout::HostMemory;

constexpr int kThreads = 4;
constexpr int kThreadTurns = 2000;

void RunThreads(const std::function<void(int)>& run) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
}

class SyncThreadsTest : public testing::Test {
 protected:
  Locker* LockerOf(int thread) { return thread % 2 == 0 ? &first_ : &second_; }

  SharedSync shared_;
  Locker first_{shared_.page(0), 1};
  Locker second_{shared_.page(1), 2};
};

TEST_F(SyncThreadsTest, MutexGuardsPlainData) {
  auto* const at = shared_.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  int64_t count = 0;
  RunThreads([&](int thread) {
    BasicMutex<HostMemory, HostFutex> mutex(at, kFirst, LockerOf(thread));
    for (int i = 0; i < kThreadTurns; ++i) {
      SyncHold hold;
      ASSERT_EQ(mutex.Lock(&hold, kNoDeadlineNs), SyncResult::kDone);
      ++count;
      ASSERT_EQ(mutex.Unlock(&hold), SyncResult::kDone);
    }
  });
  EXPECT_EQ(count, kThreads * kThreadTurns);
  EXPECT_EQ(at->word, 0u);
  EXPECT_EQ(at->waiters, 0u);
}

TEST_F(SyncThreadsTest, RwLockGuardsPlainData) {
  auto* const at =
      shared_.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  int64_t first = 0, second = 0;
  RunThreads([&](int thread) {
    BasicRwLock<HostMemory, HostFutex> lock(at, kFirst, LockerOf(thread));
    for (int i = 0; i < kThreadTurns; ++i) {
      SyncHold hold;
      if (i % 4 == 0) {
        ASSERT_EQ(lock.LockExclusive(&hold, kNoDeadlineNs), SyncResult::kDone);
        ++first;
        ++second;
        ASSERT_EQ(lock.UnlockExclusive(&hold), SyncResult::kDone);
      } else {
        ASSERT_EQ(lock.LockShared(&hold, kNoDeadlineNs), SyncResult::kDone);
        ASSERT_EQ(first, second);
        ASSERT_EQ(lock.UnlockShared(&hold), SyncResult::kDone);
      }
    }
  });
  EXPECT_EQ(first, kThreads * kThreadTurns / 4);
  EXPECT_EQ(at->waiters, 0u);
}

TEST_F(SyncThreadsTest, SemaphoreGuardsPlainData) {
  auto* const at =
      shared_.Make<layout::SemaphoreLayout>(layout::SyncKind::kSemaphore);
  at->word = 1;
  int64_t count = 0;
  RunThreads([&](int thread) {
    BasicSemaphore<HostMemory, HostFutex> semaphore(at, kFirst,
                                                    LockerOf(thread));
    for (int i = 0; i < kThreadTurns; ++i) {
      ASSERT_EQ(semaphore.Acquire(kNoDeadlineNs), SyncResult::kDone);
      ++count;
      ASSERT_EQ(semaphore.Release(1), SyncResult::kDone);
    }
  });
  EXPECT_EQ(count, kThreads * kThreadTurns);
  EXPECT_EQ(at->word, 1u);
  EXPECT_EQ(at->waiters, 0u);
}

TEST_F(SyncThreadsTest, EventPassesPlainDataOn) {
  auto* const at = shared_.Make<layout::EventLayout>(layout::SyncKind::kEvent);
  at->reset = static_cast<uint32_t>(layout::EventReset::kAutomatic);
  at->word = layout::kEventSet;
  int64_t count = 0;
  RunThreads([&](int thread) {
    BasicEvent<HostMemory, HostFutex> event(at, kFirst, LockerOf(thread));
    for (int i = 0; i < kThreadTurns; ++i) {
      ASSERT_EQ(event.Wait(kNoDeadlineNs), SyncResult::kDone);
      ++count;
      event.Set();
    }
  });
  EXPECT_EQ(count, kThreads * kThreadTurns);
}

TEST_F(SyncThreadsTest, BarrierSeparatesRounds) {
  auto* const at =
      shared_.Make<layout::BarrierLayout>(layout::SyncKind::kBarrier);
  at->parties = kThreads;
  std::vector<int> rounds(kThreads, 0);
  RunThreads([&](int thread) {
    BasicBarrier<HostMemory, HostFutex> barrier(at, kFirst, LockerOf(thread));
    for (int round = 1; round <= kThreadTurns / 4; ++round) {
      rounds[static_cast<size_t>(thread)] = round;
      ASSERT_EQ(barrier.Wait(kNoDeadlineNs), SyncResult::kDone);
      for (const int theirs : rounds) ASSERT_EQ(theirs, round);
      ASSERT_EQ(barrier.Wait(kNoDeadlineNs), SyncResult::kDone);
    }
  });
  EXPECT_EQ(layout::BarrierArrived(at->word), 0u);
}

TEST_F(SyncThreadsTest, ConditionMakesAQueue) {
  auto* const at =
      shared_.Make<layout::ConditionLayout>(layout::SyncKind::kCondition);
  auto* const word =
      reinterpret_cast<layout::MutexLayout*>(shared_.memory() + 64);
  std::deque<int> queue;
  int64_t sum = 0;
  RunThreads([&](int thread) {
    BasicCondition<HostMemory, HostFutex> condition(at, kFirst,
                                                    LockerOf(thread));
    BasicMutex<HostMemory, HostFutex> mutex(word, {SharedSync::kGeneration, 64},
                                            LockerOf(thread));
    for (int i = 0; i < kThreadTurns; ++i) {
      SyncHold hold;
      ASSERT_EQ(mutex.Lock(&hold, kNoDeadlineNs), SyncResult::kDone);
      if (thread % 2 == 0) {
        queue.push_back(i);
      } else {
        while (queue.empty()) {
          const auto waited =
              condition.Wait(&mutex, &hold, kNoDeadlineNs, kNoDeadlineNs);
          ASSERT_EQ(waited.lock, SyncResult::kDone);
        }
        sum += queue.front();
        queue.pop_front();
      }
      ASSERT_EQ(mutex.Unlock(&hold), SyncResult::kDone);
      if (thread % 2 == 0) condition.Signal();
    }
  });
  EXPECT_EQ(sum, int64_t{kThreadTurns} * (kThreadTurns - 1));
  EXPECT_TRUE(queue.empty());
}

TEST_F(SyncThreadsTest, ValueIsReadWhole) {
  auto* const at =
      shared_.Make<layout::SeqValueLayout>(layout::SyncKind::kSeqValue);
  auto* const copies =
      reinterpret_cast<uint64_t*>(shared_.memory() + sizeof(*at));
  RunThreads([&](int thread) {
    BasicSeqValue<HostMemory, HostFutex> value(at, copies, 4, kFirst,
                                               LockerOf(thread));
    for (uint64_t i = 1; i <= kThreadTurns; ++i) {
      uint64_t words[4] = {i, i, i, i};
      if (thread % 2 == 0) {
        ASSERT_EQ(value.Write(words, kNoDeadlineNs), SyncResult::kDone);
      } else {
        ASSERT_EQ(value.Read(words, kNoDeadlineNs), SyncResult::kDone);
        for (const uint64_t word : words) ASSERT_EQ(word, words[0]);
      }
    }
  });
  EXPECT_EQ(at->word, 0u);
}

}  // namespace
}  // namespace shmd
