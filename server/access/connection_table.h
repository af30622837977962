#ifndef SHMD_SERVER_ACCESS_CONNECTION_TABLE_H_
#define SHMD_SERVER_ACCESS_CONNECTION_TABLE_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "server/access/caller.h"
#include "server/access/policy.h"

namespace shmd {

// Who is at the other end of each gRPC connection. gRPC names a connection
// that was handed to it by descriptor "fd:N" and closes N only after the last
// call of the connection has been destroyed, so N cannot mean two connections
// while a call can still ask. As a second line of defence numbers are dealt in
// turn, so that one comes back only after thousands of connections.
// Thread-safe.
class ConnectionTable {
 public:
  // Borrows `policy`.
  explicit ConnectionTable(const CallerPolicy* policy);

  // Moves `connection` to the next free number of the round and records its
  // caller under it. DESCRIPTORS_EXHAUSTED when there is none.
  absl::StatusOr<int> Add(UniqueFd connection, Caller caller);

  // The caller of the connection that gRPC calls `peer`; CALLER_UNKNOWN
  // (UNAUTHENTICATED) when it is none of ours.
  absl::StatusOr<std::shared_ptr<const Caller>> Find(
      absl::string_view peer) const;

  // Judges connections over TCP, which are none of ours.
  const CallerPolicy& policy() const { return *policy_; }

 private:
  const CallerPolicy* const policy_;
  const int first_number_;
  const int end_number_;
  mutable absl::Mutex mutex_;
  int next_number_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<int, std::shared_ptr<const Caller>> callers_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_ACCESS_CONNECTION_TABLE_H_
