#ifndef SHMD_SERVER_KEEPER_NOTIFY_SOCKET_H_
#define SHMD_SERVER_KEEPER_NOTIFY_SOCKET_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace shmd {

// The datagram socket of the notification protocol, at both ends.

// A text, and the descriptor that travels with it unless it is negative.
struct OutgoingNotification {
  std::string text;
  int fd = -1;
};

// A socket connected to `address`, which is as $NOTIFY_SOCKET has it: an
// absolute path, or @ and an abstract name. It has a name of its own, so that
// the other end can connect back (see ConnectBack).
absl::StatusOr<UniqueFd> ConnectNotifySocket(absl::string_view address);

// Sends all in order, 64 with one system call, and waits for room until
// `deadline` has passed. On return, what was sent lies in the receiver's
// queue, where the descriptors outlive the sender. UNAVAILABLE
// (KEEPER_UNREACHABLE) when there was no room, or the receiver has gone for
// good (`gone`); `sent` says how many went.
absl::Status SendNotifications(
    int socket, absl::Span<const OutgoingNotification> notifications,
    absl::Duration deadline, size_t* sent, bool* gone);

// What ReceiveNotification received. `text` is into the caller's buffer.
struct IncomingNotification {
  absl::string_view text;
  std::vector<UniqueFd> fds;
  pid_t pid = 0;  // the kernel's word on the sender
  uid_t uid = 0;
  bool truncated = false;  // too long, or descriptors were lost
  std::string address;     // of the sender's socket; empty when it has none
};

// A socket at `path`, made with mode 0600, that asks for credentials.
absl::StatusOr<UniqueFd> BindNotifySocket(const std::string& path);

// Takes one datagram from the queue, without waiting: NOT_FOUND when there is
// none. Descriptors get close-on-exec.
absl::StatusOr<IncomingNotification> ReceiveNotification(
    int socket, absl::Span<char> buffer);

// Connects a receiver to the one socket that it listens to from now on. The
// kernel then refuses all other senders (EPERM), and no longer limits the
// queue to net.unix.max_dgram_qlen, by default ten datagrams (unix(7)), but to
// the sender's buffer.
absl::Status ConnectBack(int socket, absl::string_view address);

}  // namespace shmd

#endif  // SHMD_SERVER_KEEPER_NOTIFY_SOCKET_H_
