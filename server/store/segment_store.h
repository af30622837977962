#ifndef SHMD_SERVER_STORE_SEGMENT_STORE_H_
#define SHMD_SERVER_STORE_SEGMENT_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "server/store/statement.h"
#include "server/store/stored_segment.h"
#include "shm/handle.h"

namespace shmd {

// What makes this daemon the same across restarts.
struct StoreIdentity {
  uint64_t node = 0;
  HandleSigner::Key key = {};
  // No earlier run has dealt this generation or a later one.
  uint64_t first_generation = 1;
};

// The durable metadata, in SQLite. A change is durable against the end of the
// daemon when the call returns, and against power loss when it concerns a
// mapped file. Holds a lock on the folder: a second daemon is refused.
// Thread-safe.
class SegmentStore {
 public:
  // Opens or makes the store in `folder`, which exists.
  static absl::StatusOr<std::unique_ptr<SegmentStore>> Open(
      const std::string& folder);
  ~SegmentStore();

  const StoreIdentity& identity() const { return identity_; }

  absl::StatusOr<std::vector<StoredSegment>> Load();

  // Writes or replaces; all or none. STORE_FAILED (INTERNAL) when it could
  // not: nothing was changed then.
  absl::Status Put(absl::Span<const StoredSegment> segments);
  absl::Status Delete(absl::Span<const Uid> uids);

 private:
  SegmentStore() = default;

  absl::Status Run(const char* sql) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RunPrepared(Statement& statement)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Begin(bool survives_power_loss)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status End(absl::Status result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadIdentity() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status PutIdentity() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  UniqueFd lock_;
  StoreIdentity identity_;
  absl::Mutex mutex_;
  sqlite3* database_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Statement begin_ ABSL_GUARDED_BY(mutex_);
  Statement commit_ ABSL_GUARDED_BY(mutex_);
  Statement put_ ABSL_GUARDED_BY(mutex_);
  Statement delete_ ABSL_GUARDED_BY(mutex_);
  bool synchronous_full_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_SEGMENT_STORE_H_
