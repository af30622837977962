#ifndef SHMD_SERVER_OBJECT_ARENA_SEALER_H_
#define SHMD_SERVER_OBJECT_ARENA_SEALER_H_

#include <deque>
#include <functional>
#include <map>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/registry/segment_registry.h"
#include "server/session/session.h"

namespace shmd {

// Seals arenas for those who must not wait: the kernel looks at every page, and
// waits up to a fifth of a second for one that somebody reads or writes by DMA.
// One after another, on a thread that begins with the first; sessions take
// turns, so that one cannot keep the others waiting. Thread-safe. Borrows the
// registry.
class ArenaSealer {
 public:
  using Done = std::function<void(const absl::Status&)>;

  explicit ArenaSealer(SegmentRegistry* segments) : segments_(segments) {}
  // Stop, if that has not been.
  ~ArenaSealer() { Stop(); }

  // `done` is called later, on the thread, under no lock; never after Stop.
  void Seal(const SessionId& session, EntryPtr arena, Done done);
  // What still waits is left as it is.
  void Stop();

 private:
  struct Job {
    EntryPtr arena;
    Done done;
  };

  void Run();
  // False when the thread is to end.
  bool Take(Job* job);

  SegmentRegistry* const segments_;
  absl::Mutex mutex_;
  std::map<SessionId, std::deque<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  SessionId served_last_ ABSL_GUARDED_BY(mutex_) = {};
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_ARENA_SEALER_H_
