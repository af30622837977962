#ifndef SHMD_SHM_SYS_SOCKET_H_
#define SHMD_SHM_SYS_SOCKET_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// Unix sockets: who is at the other end, and descriptors as passengers. All
// functions are thread-safe on different sockets.

// The kernel's word on who connected (SO_PEERCRED, SO_PEERGROUPS; unix(7)).
struct PeerCredentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::vector<gid_t> groups;  // supplementary ones
};

absl::StatusOr<PeerCredentials> ReadPeerCredentials(int socket);

// A pidfd of the process that connected (SO_PEERPIDFD, Linux 6.5): also where
// it has no number in our pid namespace. Invalid when the kernel has none to
// give, because it is older or the process has ended.
UniqueFd OpenPeerPidfd(int socket);

enum class SocketType { kStream, kSeqpacket };

// Listens on `path`, whose file gets `mode`; replaces a socket that nobody
// answers on, and refuses (ALREADY_EXISTS) when somebody does.
absl::StatusOr<UniqueFd> ListenUnix(const std::string& path, SocketType type,
                                    mode_t mode);

// Connects to `path`. A listener whose queue is full is waited for, but not
// longer than `timeout`, which then bounds each sendmsg(2) too.
absl::StatusOr<UniqueFd> ConnectUnix(
    const std::string& path, SocketType type,
    absl::Duration timeout = absl::InfiniteDuration());

// The most descriptors that travel with one datagram.
inline constexpr size_t kMaxPassengers = 8;

// Sends one datagram, with `fd` as passenger unless it is negative; never
// raises SIGPIPE. UNAVAILABLE when the peer's queue is full or it has gone.
absl::Status SendDatagram(int socket, absl::string_view data, int fd);

// The same with several passengers, which arrive in their order.
// INVARIANT_BROKEN for more than kMaxPassengers. `flags` as send(2).
absl::Status SendDatagram(int socket, absl::string_view data,
                          absl::Span<const UniqueFd> fds, int flags = 0);

// Has receives wait, whether or not the socket did not block, but not for
// longer than `most`.
absl::Status LimitWaits(int socket, absl::Duration most);

// One received datagram.
struct Datagram {
  size_t size_bytes = 0;   // 0: the peer has closed
  bool truncated = false;  // longer than the buffer, or passengers were lost
  std::vector<UniqueFd> fds;
};

// Looks whether a datagram, or the end, is there, again and again until
// `end_ns` of CLOCK_MONOTONIC; false when none was.
bool SpinForDatagram(int socket, uint64_t end_ns);

// Receives one datagram into `buffer`. `flags` as recv(2), for example
// MSG_DONTWAIT: UNAVAILABLE when there is none.
absl::StatusOr<Datagram> ReceiveDatagram(int socket, absl::Span<char> buffer,
                                         int flags);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_SOCKET_H_
