#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"

namespace shmd {
namespace {

TEST(WorkerPoolTest, WorkThatWaitsDoesNotHoldUpOther) {
  WorkerPool pool(4);
  // Passed only by all at the same time.
  auto* const barrier = new absl::Barrier(4);
  absl::BlockingCounter over(4);
  for (int i = 0; i < 4; ++i) {
    pool.Run([&] {
      if (barrier->Block()) delete barrier;
      over.DecrementCount();
    });
  }
  over.Wait();
}

TEST(WorkerPoolTest, HasNoMoreThreadsThanItMay) {
  absl::Mutex mutex;
  std::set<std::thread::id> seen;
  {
    WorkerPool pool(2);
    for (int i = 0; i < 100; ++i) {
      pool.Run([&] {
        absl::MutexLock lock(&mutex);
        seen.insert(std::this_thread::get_id());
      });
    }
  }
  EXPECT_GE(seen.size(), 1u);
  EXPECT_LE(seen.size(), 2u);
}

TEST(WorkerPoolTest, EndsOnlyWhenAllIsDone) {
  std::atomic<int> done{0};
  {
    WorkerPool pool(3);
    for (int i = 0; i < 50; ++i) pool.Run([&] { ++done; });
  }
  EXPECT_EQ(done, 50);
}

}  // namespace
}  // namespace shmd
