#ifndef SHMD_SERVER_REGISTRY_SHARED_READER_H_
#define SHMD_SERVER_REGISTRY_SHARED_READER_H_

#include <fcntl.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "shm/sys/file.h"

namespace shmd {

// A description of a memfd, open for reading, that many programs may share: its
// offset and flags are of no use to who maps it. Thread-safe.
class SharedReader {
 public:
  // So that it need not be opened when somebody waits for it. What fails here
  // Get tries again.
  void Open(int memfd) {
    absl::MutexLock lock(&mutex_);
    OpenLocked(memfd).IgnoreError();
  }
  absl::StatusOr<UniqueFd> Get(int memfd) {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(OpenLocked(memfd));
    return sys::Duplicate(reader_.get());
  }

 private:
  absl::Status OpenLocked(int memfd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (reader_.valid()) return absl::OkStatus();
    ASSIGN_OR_RETURN(reader_, sys::Reopen(memfd, O_RDONLY));
    return absl::OkStatus();
  }

  absl::Mutex mutex_;
  UniqueFd reader_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_SHARED_READER_H_
