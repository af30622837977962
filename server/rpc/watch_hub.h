#ifndef SHMD_SERVER_RPC_WATCH_HUB_H_
#define SHMD_SERVER_RPC_WATCH_HUB_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/access/caller.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/reply_stream.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

inline constexpr size_t kMaxWatches = 1024;

class SegmentWatch;

// All watches of the daemon, and the thread that tells those that wait when
// there is something new. Thread-safe. Borrows the registry.
class WatchHub {
 public:
  explicit WatchHub(SegmentRegistry* registry);
  ~WatchHub();

  // Begins a watch; one that cannot be is finished with its error.
  ReplySource* Start(absl::StatusOr<std::shared_ptr<const Caller>> caller,
                     const v1::WatchSegmentsRequest& request,
                     ReplyWriter<v1::WatchSegmentsResponse>* writer);

  // Ends all watches with SERVER_DRAINING (UNAVAILABLE); new ones as well.
  void Drain();

 private:
  friend class SegmentWatch;

  // What a watch counts for.
  struct Place {
    std::string name_space;
    uid_t uid = 0;
  };

  void Run();
  // Returns when there is a watch, or all are to end.
  void AwaitWatches();
  // Takes a place for a watch, or says why there is none.
  absl::Status Admit(const std::string& name_space, uid_t uid)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(SegmentWatch* watch);

  SegmentRegistry* const registry_;
  std::atomic<bool> stopping_{false};
  absl::Mutex mutex_;
  absl::flat_hash_map<SegmentWatch*, Place> watches_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_WATCH_HUB_H_
