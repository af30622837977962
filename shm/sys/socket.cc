#include "shm/sys/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59  // include/uapi/asm-generic/socket.h
#endif

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // include/uapi/asm-generic/socket.h
#endif

namespace shmd::sys {
namespace {

constexpr int kBacklog = 512;

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return InvalidField("socket_dir", reason::kFieldInvalid,
                        absl::StrCat("a Unix socket's path has 1 to ",
                                     sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

absl::StatusOr<UniqueFd> Socket(SocketType type) {
  const int kind = type == SocketType::kStream ? SOCK_STREAM : SOCK_SEQPACKET;
  UniqueFd fd(socket(AF_UNIX, kind | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

absl::Status Unreachable(int error_number, absl::string_view call) {
  return Error(absl::StatusCode::kUnavailable, reason::kServerUnreachable,
               absl::StrCat(call, ": ", strerror(error_number)))
      .With("errno", error_number);
}

void TakePassengers(msghdr& message, std::vector<UniqueFd>* fds) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds->emplace_back(fd);
    }
  }
}

// At most kMaxPassengers.
absl::Status Send(int socket, absl::string_view data, absl::Span<const int> fds,
                  int flags) {
  iovec part{};
  part.iov_base = const_cast<char*>(data.data());
  part.iov_len = data.size();
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassengers)] = {};
  const size_t bytes = fds.size() * sizeof(int);
  if (bytes > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(header), fds.data(), bytes);
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return Unreachable(errno, "sendmsg");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PeerCredentials> ReadPeerCredentials(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return ErrnoStatus(errno, "getsockopt");
  }
  PeerCredentials credentials;
  credentials.uid = peer.uid;
  credentials.gid = peer.gid;
  credentials.pid = peer.pid;
  credentials.groups.resize(32);
  for (;;) {
    size = static_cast<socklen_t>(credentials.groups.size() * sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, credentials.groups.data(),
                   &size) == 0) {
      break;
    }
    if (errno != ERANGE) return ErrnoStatus(errno, "getsockopt");
    // ERANGE says how much it takes.
    credentials.groups.resize(size / sizeof(gid_t));
  }
  credentials.groups.resize(size / sizeof(gid_t));
  return credentials;
}

UniqueFd OpenPeerPidfd(int socket) {
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0) {
    return UniqueFd();
  }
  return UniqueFd(pidfd);
}

absl::StatusOr<UniqueFd> ListenUnix(const std::string& path, SocketType type,
                                    mode_t mode) {
  ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  if (ConnectUnix(path, type).ok()) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kObjectExists,
                 absl::StrCat("another daemon answers on ", path));
  }
  ASSIGN_OR_RETURN(UniqueFd fd, Socket(type));
  unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind of ", path));
  }
  if (chmod(path.c_str(), mode) != 0) return ErrnoStatus(errno, "chmod");
  if (listen(fd.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen");
  return fd;
}

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, SocketType type,
                                     absl::Duration timeout) {
  ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  ASSIGN_OR_RETURN(UniqueFd fd, Socket(type));
  if (timeout != absl::InfiniteDuration()) {
    // Zero would mean no limit (socket(7)).
    const timeval limit =
        absl::ToTimeval(std::max(timeout, absl::Milliseconds(1)));
    if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) !=
        0) {
      return ErrnoStatus(errno, "setsockopt");
    }
  }
  int result = 0;
  do {
    result = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                     sizeof(address));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Unreachable(errno, "connect");
  return fd;
}

absl::Status SendDatagram(int socket, absl::string_view data, int fd) {
  return Send(socket, data, absl::MakeConstSpan(&fd, fd >= 0 ? 1 : 0), 0);
}

absl::Status SendDatagram(int socket, absl::string_view data,
                          absl::Span<const UniqueFd> fds, int flags) {
  if (fds.size() > kMaxPassengers) {
    return Error(absl::StatusCode::kInternal, reason::kInvariantBroken,
                 "too many descriptors for one datagram");
  }
  std::array<int, kMaxPassengers> numbers = {};
  std::transform(fds.begin(), fds.end(), numbers.begin(),
                 [](const UniqueFd& fd) { return fd.get(); });
  return Send(socket, data, {numbers.data(), fds.size()}, flags);
}

absl::Status LimitWaits(int socket, absl::Duration most) {
  const int flags = fcntl(socket, F_GETFL);
  if (flags < 0 || fcntl(socket, F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  // Zero would mean no limit (socket(7)).
  const timeval limit = absl::ToTimeval(std::max(most, absl::Milliseconds(1)));
  if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
    return ErrnoStatus(errno, "setsockopt");
  }
  return absl::OkStatus();
}

bool SpinForDatagram(int socket, uint64_t end_ns) {
  pollfd wanted{};
  wanted.fd = socket;
  wanted.events = POLLIN;
  do {
    if (poll(&wanted, 1, 0) != 0) return true;
  } while (ReadClockNs(CLOCK_MONOTONIC) < end_ns);
  return false;
}

absl::StatusOr<Datagram> ReceiveDatagram(int socket, absl::Span<char> buffer,
                                         int flags) {
  iovec part{};
  part.iov_base = buffer.data();
  part.iov_len = buffer.size();
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassengers)];
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t received = 0;
  do {
    received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return Unreachable(errno, "recvmsg");
  Datagram datagram;
  datagram.size_bytes = static_cast<size_t>(received);
  datagram.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  TakePassengers(message, &datagram.fds);
  return datagram;
}

}  // namespace shmd::sys
