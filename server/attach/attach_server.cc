#include "server/attach/attach_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

constexpr int kEventsPerTurn = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<AttachServer>> AttachServer::Start(
    UniqueFd listener, const CallerPolicy* policy, SegmentRegistry* registry) {
  auto server = std::unique_ptr<AttachServer>(
      new AttachServer(std::move(listener), policy, registry));
  server->epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!server->epoll_.valid()) return ErrnoStatus(errno, "epoll_create1");
  server->stop_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!server->stop_.valid()) return ErrnoStatus(errno, "eventfd");
  if (fcntl(server->listener_.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  RETURN_IF_ERROR(server->Watch(server->listener_.get()));
  RETURN_IF_ERROR(server->Watch(server->stop_.get()));
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

AttachServer::~AttachServer() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  // An eventfd that counts to one cannot refuse.
  if (write(stop_.get(), &one, sizeof(one)) < 0) return;
  thread_.join();
}

absl::Status AttachServer::Watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void AttachServer::Run() {
  std::array<epoll_event, kEventsPerTurn> events;
  for (;;) {
    const int count =
        epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_.get()) {
        connections_.clear();
        return;
      }
      if (fd == listener_.get()) {
        Accept();
      } else {
        Serve(fd);
      }
    }
  }
}

void AttachServer::Accept() {
  std::optional<Acceptor::Accepted> accepted =
      acceptor_.Accept(listener_.get());
  if (!accepted.has_value()) return;
  const uid_t uid = accepted->caller.uid;
  size_t& count = connections_of_uid_[uid];
  if (count >= kMaxAttachConnectionsPerUid) {
    // At the debug level: whoever connects again and again must not fill the
    // disk.
    Log(LogLevel::kDebug, absl::StrCat("attach: uid ", uid, " has ", count,
                                       " connections already"));
    return;
  }
  const int fd = accepted->socket.get();
  if (!Watch(fd).ok()) return;
  ++count;
  connections_[fd] = std::make_unique<AttachConnection>(
      std::move(accepted->socket), std::move(accepted->caller), registry_);
}

void AttachServer::Serve(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  if (found->second->ServeWaiting()) return;
  const auto count = connections_of_uid_.find(found->second->caller().uid);
  if (--count->second == 0) connections_of_uid_.erase(count);
  // Closing the descriptor takes it out of the epoll set (epoll(7)).
  connections_.erase(found);
}

}  // namespace shmd
