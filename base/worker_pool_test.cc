#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

namespace shmd {
namespace {

TEST(WorkerPoolTest, WorkThatWaitsDoesNotHoldUpOther) {
  std::atomic<int> begun{0};
  WorkerPool pool(4);
  for (int i = 0; i < 4; ++i) {
    // Over only when all have begun.
    pool.Run([&begun] {
      ++begun;
      while (begun < 4) std::this_thread::yield();
    });
  }
}

TEST(WorkerPoolTest, HasNoMoreThreadsThanItMay) {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  {
    WorkerPool pool(2);
    for (int i = 0; i < 100; ++i) {
      pool.Run([&] {
        const std::lock_guard<std::mutex> lock(mutex);
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
