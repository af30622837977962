#ifndef SHMD_BASE_WORKER_POOL_H_
#define SHMD_BASE_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace shmd {

// Threads for work that may wait. One is started when work finds none idle, up
// to a limit, and then kept; beyond it work waits its turn. Thread-safe.
class WorkerPool {
 public:
  explicit WorkerPool(size_t max_threads) : max_threads_(max_threads) {}

  // Ends when all work is done.
  ~WorkerPool();

  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  void Run(std::function<void()> work);

 private:
  void RunUntilStopped();

  const size_t max_threads_;
  // The host's Abseil tells the thread sanitizer nothing of its mutexes. Guards
  // all that follows.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace shmd

#endif  // SHMD_BASE_WORKER_POOL_H_
