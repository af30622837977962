#ifndef SHMD_SHM_SYS_BELL_SET_H_
#define SHMD_SHM_SYS_BELL_SET_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// One descriptor that is readable while any of some bell pipes is. It stays the
// same while pipes come, as with each run of the daemon, and go, once nobody
// can write to them any more; so who has added it to an epoll set need not
// know. Thread-safe.
class BellSet {
 public:
  // DESCRIPTORS_EXHAUSTED.
  static absl::StatusOr<std::shared_ptr<BellSet>> Make();

  // To poll for POLLIN; valid as long as this object.
  int descriptor() const { return epoll_.get(); }

  // Adds a pipe's read end.
  absl::Status Add(UniqueFd read_end);

  // Makes it readable once after this long, as if somebody had rung then; a
  // later call counts instead. Does nothing without a descriptor to spare.
  void WakeAfter(absl::Duration delay);

  // Makes it not readable again, until somebody rings.
  void Drain();

  // Makes it readable for good: nobody will ring any more.
  void End();

 private:
  explicit BellSet(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  const UniqueFd epoll_;
  absl::Mutex mutex_;
  std::vector<UniqueFd> read_ends_ ABSL_GUARDED_BY(mutex_);
  UniqueFd end_ ABSL_GUARDED_BY(mutex_);
  UniqueFd timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_BELL_SET_H_
