#include "server/registry/expiry_queue.h"

#include <algorithm>

namespace shmd {

void ExpiryQueue::Set(const Uid& uid, absl::Duration deadline) {
  absl::MutexLock lock(&mutex_);
  const auto old = deadlines_.find(uid);
  if (old != deadlines_.end()) {
    by_deadline_.erase({old->second, uid});
    deadlines_.erase(old);
  }
  if (deadline == absl::InfiniteDuration()) return;
  deadlines_[uid] = deadline;
  by_deadline_.insert({deadline, uid});
  if (by_deadline_.begin()->second == uid) {
    woken_ = true;
    changed_.Signal();
  }
}

std::vector<Uid> ExpiryQueue::TakeDue(absl::Duration now) {
  absl::MutexLock lock(&mutex_);
  std::vector<Uid> due;
  while (!by_deadline_.empty() && by_deadline_.begin()->first <= now) {
    due.push_back(by_deadline_.begin()->second);
    deadlines_.erase(due.back());
    by_deadline_.erase(by_deadline_.begin());
  }
  return due;
}

void ExpiryQueue::WaitForNext(absl::Duration now) {
  absl::MutexLock lock(&mutex_);
  absl::Duration wait = absl::Minutes(1);
  if (!by_deadline_.empty()) {
    wait = std::min(wait, by_deadline_.begin()->first - now);
  }
  if (!woken_ && wait > absl::ZeroDuration()) {
    changed_.WaitWithTimeout(&mutex_, wait);
  }
  woken_ = false;
}

void ExpiryQueue::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
  changed_.Signal();
}

}  // namespace shmd
