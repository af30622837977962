#ifndef SHMD_SERVER_OBJECT_LANE_SERVER_H_
#define SHMD_SERVER_OBJECT_LANE_SERVER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/spin_estimate.h"
#include "server/object/object_registry.h"

namespace shmd {

// The thread that serves what sessions submit in memory. It looks at all rings
// for a while after the last submission, about twice as long as the last ones
// took to come (SpinEstimate), and then sleeps until a session asks to be
// looked at (AttachRequest.wake), or something is due.
class LaneServer {
 public:
  // Borrows the registry.
  explicit LaneServer(ObjectRegistry* objects);
  ~LaneServer();

  // Has the ring of a session looked at. Thread-safe; never blocks.
  void Rang(const SessionId& session);
  // Has what is due looked at. Thread-safe; never blocks.
  void Wake();

 private:
  void Run();
  // From a wait that is over: how long it took.
  void Learn(uint64_t now_ns);
  void TakeRang(const std::vector<std::shared_ptr<ObjectTable>>& tables);
  // True when nothing has come for a while and all sessions have to ask; false
  // when it is time to look at what is due.
  bool ServeUntilIdle();
  // Until somebody asks, or so long; false when the server is to stop.
  bool Sleep(absl::Duration longest);

  ObjectRegistry* const objects_;
  // Of the wait for the next submission; of its own thread alone.
  SpinEstimate estimate_;
  bool is_idle_ = true;
  uint64_t idle_since_ns_ = 0;
  uint64_t spin_ns_ = 0;
  bool has_slept_ = true;

  std::atomic<bool> has_rung_{false};  // so that looking costs no lock
  absl::Mutex mutex_;
  std::vector<SessionId> rang_ ABSL_GUARDED_BY(mutex_);
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_LANE_SERVER_H_
