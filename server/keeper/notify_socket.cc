#include "server/keeper/notify_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/keeper/notification.h"

namespace shmd {
namespace {

constexpr size_t kPerCall = 64;
// Room for some five thousand small datagrams. More than wmem_max takes root;
// without it the kernel cuts this, and a sender waits for the receiver sooner.
constexpr int kSendBufferBytes = 4 << 20;
// The kernel does not say when descriptors in flight have become fewer.
constexpr absl::Duration kTooManyInFlightPause = absl::Milliseconds(1);

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

absl::StatusOr<Address> AddressOf(absl::string_view text) {
  Address address;
  address.name.sun_family = AF_UNIX;
  if (text.size() < 2 || text.size() >= sizeof(address.name.sun_path) ||
      (text[0] != '/' && text[0] != '@')) {
    return InvalidField(
        "NOTIFY_SOCKET", reason::kFieldInvalid,
        absl::StrCat("has to be an absolute path, or @ and a name, of at most ",
                     sizeof(address.name.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.name.sun_path, text.data(), text.size());
  address.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size());
  if (text[0] == '@') {
    address.name.sun_path[0] = '\0';
  } else {
    ++address.size;  // a path ends with a NUL
  }
  return address;
}

const sockaddr* Generic(const sockaddr_un& name) {
  return reinterpret_cast<const sockaddr*>(&name);
}

absl::StatusOr<UniqueFd> DatagramSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

absl::Status Unreachable(absl::string_view why) {
  return Error(absl::StatusCode::kUnavailable, reason::kKeeperUnreachable,
               absl::StrCat("the keeper of descriptors ", why));
}

// One message of sendmmsg(2) with what it points to.
class Envelope {
 public:
  void Fill(const OutgoingNotification& notification, msghdr* message) {
    part_.iov_base = const_cast<char*>(notification.text.data());
    part_.iov_len = notification.text.size();
    *message = msghdr{};
    message->msg_iov = &part_;
    message->msg_iovlen = 1;
    if (notification.fd < 0) return;
    message->msg_control = control_;
    message->msg_controllen = sizeof(control_);
    cmsghdr* const header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &notification.fd, sizeof(int));
  }

 private:
  iovec part_{};
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int))] = {};
};

// Sends some of `notifications`; their number, or -1 and errno.
int SendSome(int socket, absl::Span<const OutgoingNotification> notifications) {
  mmsghdr messages[kPerCall] = {};
  Envelope envelopes[kPerCall];
  const size_t count = std::min(notifications.size(), kPerCall);
  for (size_t i = 0; i < count; ++i) {
    envelopes[i].Fill(notifications[i], &messages[i].msg_hdr);
  }
  return sendmmsg(socket, messages, static_cast<unsigned>(count),
                  MSG_DONTWAIT | MSG_NOSIGNAL);
}

// The other socket is no more, or has connected to another one than ours.
bool IsGone(int error_number) {
  return error_number == ECONNREFUSED || error_number == ECONNRESET ||
         error_number == ENOTCONN || error_number == EPIPE ||
         error_number == EPERM;
}

bool IsPassing(int error_number) {
  return error_number == EINTR || error_number == EAGAIN ||
         error_number == ENOBUFS || error_number == ETOOMANYREFS;
}

// Waits until it is worth to try again after an error that passes.
absl::Status WaitForRoom(int socket, int error_number, absl::Duration end) {
  if (error_number == EINTR) return absl::OkStatus();
  const absl::Duration left = end - Clock::Real()->SinceBoot();
  if (left <= absl::ZeroDuration()) {
    return Unreachable("does not empty its queue");
  }
  const bool room_is_told = error_number == EAGAIN;
  pollfd room{socket, POLLOUT, 0};
  const timespec timeout = absl::ToTimespec(
      room_is_told ? left : std::min(left, kTooManyInFlightPause));
  ppoll(&room, room_is_told ? 1 : 0, &timeout, nullptr);
  return absl::OkStatus();
}

void ReadControl(msghdr& message, IncomingNotification* incoming) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(header), sizeof(sender));
      incoming->pid = sender.pid;
      incoming->uid = sender.uid;
    } else if (header->cmsg_type == SCM_RIGHTS) {
      const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
        incoming->fds.emplace_back(fd);
      }
    }
  }
}

std::string TextOf(const sockaddr_un& name, socklen_t size) {
  const size_t start = offsetof(sockaddr_un, sun_path);
  if (size <= start) return "";
  std::string text(name.sun_path, size - start);
  if (text[0] == '\0') {
    text[0] = '@';
  } else {
    text.resize(strnlen(text.data(), text.size()));
  }
  return text;
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectNotifySocket(absl::string_view address) {
  ASSIGN_OR_RETURN(const Address to, AddressOf(address));
  ASSIGN_OR_RETURN(UniqueFd fd, DatagramSocket());
  // The kernel picks an abstract name (unix(7), autobind).
  sockaddr_un own{};
  own.sun_family = AF_UNIX;
  if (bind(fd.get(), Generic(own), sizeof(sa_family_t)) != 0) {
    return ErrnoStatus(errno, "bind");
  }
  // Neither is more than a wish.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes,
                 sizeof(kSendBufferBytes)) != 0) {
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes,
               sizeof(kSendBufferBytes));
  }
  if (connect(fd.get(), Generic(to.name), to.size) != 0) {
    return Unreachable(absl::StrCat("is not there: ", strerror(errno)));
  }
  return fd;
}

absl::Status SendNotifications(
    int socket, absl::Span<const OutgoingNotification> notifications,
    absl::Duration deadline, size_t* sent, bool* gone) {
  *sent = 0;
  *gone = false;
  absl::Duration end = absl::InfiniteDuration();
  while (*sent < notifications.size()) {
    const int count = SendSome(socket, notifications.subspan(*sent));
    if (count >= 0) {
      *sent += static_cast<size_t>(count);
      continue;
    }
    const int error_number = errno;
    // The clock is asked only when there is something to wait for.
    if (end == absl::InfiniteDuration())
      end = Clock::Real()->SinceBoot() + deadline;
    if (IsGone(error_number)) {
      *gone = true;
      return Unreachable(absl::StrCat("has gone: ", strerror(error_number)));
    }
    if (!IsPassing(error_number)) return ErrnoStatus(error_number, "sendmmsg");
    RETURN_IF_ERROR(WaitForRoom(socket, error_number, end));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> BindNotifySocket(const std::string& path) {
  ASSIGN_OR_RETURN(const Address address, AddressOf(path));
  ASSIGN_OR_RETURN(UniqueFd fd, DatagramSocket());
  const mode_t old = umask(0177);
  const int result = bind(fd.get(), Generic(address.name), address.size);
  const int error_number = errno;
  umask(old);
  if (result != 0) {
    return ErrnoStatus(error_number, absl::StrCat("bind of ", path));
  }
  const int on = 1;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
    return ErrnoStatus(errno, "setsockopt");
  }
  return fd;
}

absl::StatusOr<IncomingNotification> ReceiveNotification(
    int socket, absl::Span<char> buffer) {
  sockaddr_un from{};
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassengers) +
                                CMSG_SPACE(sizeof(ucred))];
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof(from);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t received = 0;
  do {
    received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) {
    return errno == EAGAIN ? absl::NotFoundError("the queue is empty")
                           : ErrnoStatus(errno, "recvmsg");
  }
  IncomingNotification incoming;
  incoming.text =
      absl::string_view(buffer.data(), static_cast<size_t>(received));
  incoming.truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  incoming.address = TextOf(from, message.msg_namelen);
  ReadControl(message, &incoming);
  return incoming;
}

absl::Status ConnectBack(int socket, absl::string_view address) {
  ASSIGN_OR_RETURN(const Address to, AddressOf(address));
  if (connect(socket, Generic(to.name), to.size) != 0) {
    return ErrnoStatus(errno, "connect");
  }
  return absl::OkStatus();
}

}  // namespace shmd
