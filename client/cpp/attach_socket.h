#ifndef SHMD_CLIENT_CPP_ATTACH_SOCKET_H_
#define SHMD_CLIENT_CPP_ATTACH_SOCKET_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "client/cpp/attached.h"
#include "shm/kernel_object.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

// One connection to attach.sock (protos/shmd/v1/attach.proto). Held by the
// Client and by every attachment that came through it. Thread-safe: one
// request at a time, detaching at any time.
class AttachSocket {
 public:
  struct Grant {
    Attachment::Facts facts;
    ObjectRef object;
  };

  // Connects to `socket_dir`/attach.sock; SERVER_UNREACHABLE.
  static absl::StatusOr<std::shared_ptr<AttachSocket>> Open(
      const std::string& socket_dir, absl::Duration timeout);

  AttachSocket(UniqueFd socket, std::string socket_dir);

  // Asks for a segment and verifies what comes back. Once lost() is true
  // after an error, the daemon has not answered and never will.
  absl::StatusOr<Grant> Attach(absl::string_view handle, Access access);

  // Tells the daemon that an attachment has ended; never blocks. What finds
  // the socket full is sent with the next request.
  void Detach(uint64_t attachment_id);

  // Returns when the daemon has seen every Detach so far, so that a Delete
  // which follows does not find the segment attached. Best effort.
  void AwaitDetaches();

  // Whether the peer has hung up.
  bool lost() const;
  // Whether this process opened it, and not its parent before a fork.
  bool owned_by_this_process() const;

 private:
  absl::Status Send(const std::string& datagram, int flags) const;
  absl::StatusOr<Grant> Exchange(absl::string_view handle, Access access)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(request_mutex_);
  void SendLateDetaches();

  const UniqueFd socket_;
  const std::string socket_dir_;
  const pid_t pid_;

  absl::Mutex request_mutex_;
  uint64_t sequence_ ABSL_GUARDED_BY(request_mutex_) = 0;

  mutable absl::Mutex state_mutex_;  // never held during a system call
  mutable bool lost_ ABSL_GUARDED_BY(state_mutex_) = false;
  std::vector<uint64_t> late_detaches_ ABSL_GUARDED_BY(state_mutex_);
  bool detaches_unseen_ ABSL_GUARDED_BY(state_mutex_) = false;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_ATTACH_SOCKET_H_
