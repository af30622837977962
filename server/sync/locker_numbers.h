#ifndef SHMD_SERVER_SYNC_LOCKER_NUMBERS_H_
#define SHMD_SERVER_SYNC_LOCKER_NUMBERS_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/store/store.h"

namespace shmd {

// The numbers that words in segments name sessions by: from 1, none twice in
// the life of the node, because files outlive it. Thread-safe. Borrows the
// store.
class LockerNumbers {
 public:
  explicit LockerNumbers(Store* store) : store_(store) {}

  // Call once, first: goes on behind what an earlier run may have given out.
  absl::Status TakeUp();

  // SYNC_LIMIT_EXCEEDED (RESOURCE_EXHAUSTED) when there are none left;
  // STORE_FAILED.
  absl::StatusOr<uint32_t> Next();

 private:
  Store* const store_;
  absl::Mutex mutex_;
  uint32_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  uint32_t recorded_end_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace shmd

#endif  // SHMD_SERVER_SYNC_LOCKER_NUMBERS_H_
