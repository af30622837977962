#ifndef SHMD_SERVER_RPC_WATCH_HUB_H_
#define SHMD_SERVER_RPC_WATCH_HUB_H_

#include <sys/types.h>

#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/registry/change_signal.h"
#include "server/registry/namespace_table.h"
#include "server/rpc/reply_stream.h"

namespace shmd {

inline constexpr size_t kMaxWatches = 1024;

// A watch as the hub sees it: server/rpc/watch_stream.h. Thread-safe.
class Watch : public ReplySource {
 public:
  // Sends the next event if nothing is on its way.
  virtual void Poke() = 0;
  virtual void End(const absl::Status& status) = 0;
};

// All watches of the daemon, of whatever they are, and the thread that tells
// those that wait when there is something new. Thread-safe. Borrows what it is
// given; `signal` is noted with every change.
class WatchHub {
 public:
  WatchHub(NamespaceTable* namespaces, ChangeSignal* signal);
  ~WatchHub();

  // Takes a watch in, and pokes it; one that cannot be is ended with
  // QUOTA_EXCEEDED, WATCH_LIMIT_EXCEEDED (RESOURCE_EXHAUSTED) or
  // SERVER_DRAINING (UNAVAILABLE).
  void Add(Watch* watch, const std::string& name_space, uid_t uid);
  // At its end.
  void Forget(Watch* watch);

  // Ends all watches with SERVER_DRAINING (UNAVAILABLE); new ones as well.
  void Drain();

 private:
  // What a watch counts for.
  struct Place {
    std::string name_space;
    uid_t uid = 0;
  };

  void Run();
  // Takes a place for a watch, or says why there is none.
  absl::Status Admit(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  NamespaceTable* const namespaces_;
  ChangeSignal* const signal_;
  absl::Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<Watch*, Place> watches_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_WATCH_HUB_H_
