#ifndef SHMD_SERVER_REGISTRY_CHANGE_SIGNAL_H_
#define SHMD_SERVER_REGISTRY_CHANGE_SIGNAL_H_

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace shmd {

// Wakes the one thread that looks at logs of changes for those who watch. To
// note a change costs a load while nobody watches, and an exchange while the
// thread is awake. Thread-safe.
class ChangeSignal {
 public:
  // After a change was put where the thread will find it.
  void Note() {
    // Pairs with SetWatched: who began to watch after that will find the change
    // by himself, because both have held the log's mutex.
    if (!watched_.load(std::memory_order_relaxed)) return;
    if (noted_.exchange(true, std::memory_order_acq_rel)) return;
    // Makes the thread look at its condition.
    absl::MutexLock lock(&mutex_);
  }

  // Before the first look of who begins to watch, and when nobody does.
  void SetWatched(bool watched) {
    watched_.store(watched, std::memory_order_relaxed);
  }

  // Waits until a change was noted since the last call; false once stopped.
  bool Await() {
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopped_ || noted_.load(std::memory_order_acquire);
    };
    absl::MutexLock lock(&mutex_, absl::Condition(&ready));
    noted_.store(false, std::memory_order_release);
    return !stopped_;
  }

  void Stop() {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }

 private:
  std::atomic<bool> watched_{false};
  std::atomic<bool> noted_{false};
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_CHANGE_SIGNAL_H_
