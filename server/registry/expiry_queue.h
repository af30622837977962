#ifndef SHMD_SERVER_REGISTRY_EXPIRY_QUEUE_H_
#define SHMD_SERVER_REGISTRY_EXPIRY_QUEUE_H_

#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "shm/types.h"

namespace shmd {

// When segments end, in time since boot. Thread-safe.
class ExpiryQueue {
 public:
  // Sets, moves or clears (InfiniteDuration) the end of a segment.
  void Set(const Uid& uid, absl::Duration deadline);

  // Takes out those whose end is not after `now`.
  std::vector<Uid> TakeDue(absl::Duration now);

  // Sleeps until the first end, `Wake`, or at most a minute.
  void WaitForNext(absl::Duration now);

  // Ends the current or next WaitForNext.
  void Wake();

 private:
  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::pair<absl::Duration, Uid>> by_deadline_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Uid, absl::Duration> deadlines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_EXPIRY_QUEUE_H_
