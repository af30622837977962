#ifndef SHMD_CLIENT_CPP_WATCH_H_
#define SHMD_CLIENT_CPP_WATCH_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/cpp/segment.h"

namespace shmd {
inline namespace client {

// Ends a call that blocks, from another thread. Thread-safe; copies are one
// token. Once cancelled it stays so.
class CancelToken {
 public:
  CancelToken();

  void Cancel() const;
  bool cancelled() const;

  // For those who block. Waits until cancelled, at most `timeout`; tells
  // whether it was.
  bool WaitFor(absl::Duration timeout) const;
  // Calls `interrupt` when cancelled (at once if it is already), from the
  // cancelling thread; an empty function ends that. One at a time.
  void OnCancel(std::function<void()> interrupt) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

struct WatchOptions {
  std::string filter;        // as in ListSegmentsRequest
  std::string resume_token;  // of the last event seen; empty: from anew
  CancelToken cancel;
  // How long the daemon may be away at a stretch.
  absl::Duration patience = absl::InfiniteDuration();
};

// One event of a watch.
struct WatchEvent {
  enum class Type {
    kExisting,  // existed when the watch began
    kSynced,    // all that existed has been told
    kCreated,
    kUpdated,
    kDeleted,
    // Changes were lost (the daemon was restarted, or the watcher too slow):
    // forget what you knew; what exists is told again, up to kSynced.
    kRelisted,
  };

  Type type = Type::kExisting;
  std::optional<Segment> segment;  // absent for kSynced and kRelisted
  std::string resume_token;        // resumes behind this event, when not empty
};

// "EXISTING", "SYNCED", and so on.
const char* WatchEventTypeName(WatchEvent::Type type);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_WATCH_H_
