#ifndef SHMD_SERVER_OBJECT_ROOM_SERVER_H_
#define SHMD_SERVER_OBJECT_ROOM_SERVER_H_

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/session/session.h"

namespace shmd {

// Who wants to write so much more.
struct RoomRequest {
  std::string name_space;
  SessionId session = {};
  uint64_t size_bytes = 0;
  // How long to wait until something can go; zero: not at all.
  absl::Duration wait;
};

// The thread that makes room for those who ask: one after the other, so that
// nobody evicts for the second what the first could have used, and apart from
// the rings, which do not wait while objects are copied to files. Those for
// whom nothing can go are tried again every few milliseconds: what is unpinned
// is not told to anybody. Thread-safe.
class RoomServer {
 public:
  using Result = absl::StatusOr<uint64_t>;
  // Tries once; nothing when a later attempt may find more.
  using Attempt = std::function<std::optional<Result>(const RoomRequest&)>;

  explicit RoomServer(Attempt attempt);
  ~RoomServer();

  // `done` is called once, on the server's thread or this one.
  void Push(RoomRequest request, std::function<void(const Result&)> done);

  // SERVER_DRAINING for all that wait, and for all that come. Ends the thread.
  void Drain();

 private:
  struct Waiting {
    RoomRequest request;
    absl::Time deadline;
    std::function<void(const Result&)> done;
  };

  void Run();
  // Until there is something new, or so long; false when it is to stop.
  bool TakeNew(absl::Duration longest, std::list<Waiting>* waiting);

  const Attempt attempt_;
  absl::Mutex mutex_;
  std::list<Waiting> new_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_ROOM_SERVER_H_
