#ifndef SHMD_CLIENT_CPP_OBJECT_WATCH_H_
#define SHMD_CLIENT_CPP_OBJECT_WATCH_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/cpp/objects.h"
#include "client/cpp/watch.h"

namespace shmd {
inline namespace client {

// For Client::WatchObjects.
struct ObjectWatchOptions {
  std::string name_space;    // empty: the client's
  std::string id_prefix;     // only objects whose ids begin with this
  std::string resume_token;  // of the last event seen; empty: from anew
  CancelToken cancel;
  // How long the daemon may be away at a stretch.
  absl::Duration patience = absl::InfiniteDuration();
};

// One event of a watch. There is no kUpdated: an object that takes the place of
// another is kCreated.
struct ObjectWatchEvent {
  WatchEvent::Type type = WatchEvent::Type::kExisting;
  // Absent for kSynced and kRelisted; of kDeleted id, generation and size.
  std::optional<ObjectSummary> object;
  std::string resume_token;  // resumes behind this event, when not empty
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_OBJECT_WATCH_H_
