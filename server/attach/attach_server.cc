#include "server/attach/attach_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "shm/sys/socket.h"

namespace shmd {
namespace {

constexpr int kEventsPerTurn = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<AttachServer>> AttachServer::Start(
    UniqueFd listener, const Parts& parts) {
  auto server = std::unique_ptr<AttachServer>(
      new AttachServer(std::move(listener), parts));
  server->epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!server->epoll_.valid()) return ErrnoStatus(errno, "epoll_create1");
  server->stop_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  server->done_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!server->stop_.valid() || !server->done_.valid()) {
    return ErrnoStatus(errno, "eventfd");
  }
  if (fcntl(server->listener_.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  RETURN_IF_ERROR(server->Watch(server->listener_.get()));
  RETURN_IF_ERROR(server->Watch(server->stop_.get()));
  RETURN_IF_ERROR(server->Watch(server->done_.get()));
  server->WatchAwaited();
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

AttachServer::~AttachServer() {
  stopping_ = true;
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

void AttachServer::WatchAwaited() {
  const std::vector<SessionIdentity> awaited = parts_.sessions->Awaited();
  if (awaited.empty()) return;
  const BootId boot_id = ReadBootId();
  for (const SessionIdentity& identity : awaited) {
    const bool is_visible = identity.process.start_ticks != 0;
    UniqueFd pidfd = OpenProcess(identity.process);
    if (identity.boot_id != boot_id || (is_visible && !pidfd.valid())) {
      parts_.sessions->End(identity.id);
      continue;
    }
    const int number = pidfd.get();
    // A process that cannot be seen has the time of grace.
    if (!pidfd.valid() || !Watch(number).ok()) continue;
    awaited_[number] = {std::move(pidfd), identity.id};
  }
  grace_end_ = parts_.clock->SinceBoot() + parts_.session_grace;
}

int AttachServer::MillisecondsToGraceEnd() {
  if (!grace_end_.has_value()) return -1;
  const absl::Duration left = *grace_end_ - parts_.clock->SinceBoot();
  if (left > absl::ZeroDuration()) {
    return static_cast<int>(absl::ToInt64Milliseconds(left)) + 1;
  }
  grace_end_.reset();
  parts_.sessions->EndAwaited();
  awaited_.clear();
  return -1;
}

void AttachServer::Run() {
  std::array<epoll_event, kEventsPerTurn> events;
  for (;;) {
    const int count = epoll_wait(epoll_.get(), events.data(), kEventsPerTurn,
                                 MillisecondsToGraceEnd());
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == stop_.get()) {
        clients_.clear();
        return;
      }
      if (fd == listener_.get()) {
        Accept();
      } else if (fd == done_.get()) {
        TakeDone();
      } else if (clients_.contains(fd)) {
        Serve(fd);
      } else {
        ProcessEnded(fd);
      }
    }
  }
}

void AttachServer::Accept() {
  std::optional<Acceptor::Accepted> accepted =
      acceptor_.Accept(listener_.get());
  if (!accepted.has_value()) return;
  SHMD_FAILPOINT("attach.accepted");
  const uid_t uid = accepted->caller.uid;
  size_t& count = connections_of_uid_[uid];
  if (count >= kMaxAttachConnectionsPerUid) {
    // At the debug level: whoever connects again and again must not fill the
    // disk.
    Log(LogLevel::kDebug, absl::StrCat("attach: uid ", uid, " has ", count,
                                       " connections already"));
    return;
  }
  // What must not wait says so itself.
  if (!sys::LimitWaits(accepted->socket.get(), kAttendedIdle).ok()) return;
  if (!Watch(accepted->socket.get()).ok()) return;
  ++count;
  Begin(*std::move(accepted));
}

void AttachServer::Begin(Acceptor::Accepted accepted) {
  const int fd = accepted.socket.get();
  Client client;
  client.pidfd = sys::OpenPeerPidfd(fd);
  Process process = LookAtProcess(accepted.caller.pid);
  // Without the kernel's pidfd of the peer: one by number, of the process that
  // has it now; the hang-up tells when it was another one.
  if (!client.pidfd.valid()) client.pidfd = OpenProcess(process);
  if (client.pidfd.valid() && Watch(client.pidfd.get()).ok()) {
    sockets_of_pidfds_[client.pidfd.get()] = fd;
  }
  SessionIdentity session = parts_.sessions->Begin(
      accepted.caller, std::move(process), kDefaultNamespace);
  SHMD_FAILPOINT("session.begun");
  client.connection = std::make_shared<AttachConnection>(
      std::move(accepted.socket), std::move(accepted.caller),
      std::move(session), parts_.registry, parts_.sessions, parts_.wake,
      parts_.channels);
  clients_[fd] = std::move(client);
}

void AttachServer::Serve(int fd) {
  AttachConnection& connection = *clients_.find(fd)->second.connection;
  const SessionId before = connection.session();
  if (!connection.ServeWaiting()) {
    End(fd);
    return;
  }
  if (connection.session() != before) {
    StopAwaiting(connection.session());
  }
  if (connection.is_busy() && attended_ < kAttachAttendants) {
    Attend(fd);
  } else if (connection.is_deferred()) {
    Defer(fd);
  }
}

void AttachServer::Defer(int fd) {
  const bool is_long = clients_.find(fd)->second.connection->is_long();
  HandOver(
      fd, is_long ? long_workers_ : workers_,
      [](AttachConnection& connection) { return connection.ServeDeferred(); });
}

void AttachServer::Attend(int fd) {
  ++attended_;
  HandOver(fd, attendants_, [this](AttachConnection& connection) {
    const bool goes_on = connection.Attend(stopping_);
    --attended_;
    return goes_on;
  });
}

void AttachServer::HandOver(int fd, WorkerPool& pool,
                            std::function<bool(AttachConnection&)> serve) {
  // Its next requests wait in the socket, whose number stays taken as long as
  // the connection is there.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  pool.Run([this, fd, serve = std::move(serve),
            connection = clients_.find(fd)->second.connection] {
    // Watched again from here: to wake the other thread for that would take
    // longer than many a request. If its process has ended meanwhile, the
    // socket leaves the set with the connection, when this ends.
    if (serve(*connection) && Watch(fd).ok()) return;
    {
      absl::MutexLock lock(&done_mutex_);
      all_done_.push_back({fd, connection});
    }
    const uint64_t one = 1;
    // Full means that it is awake already.
    if (write(done_.get(), &one, sizeof(one)) < 0) return;
  });
}

void AttachServer::TakeDone() {
  uint64_t count;
  if (read(done_.get(), &count, sizeof(count)) < 0) return;
  std::vector<Done> all;
  {
    absl::MutexLock lock(&done_mutex_);
    all.swap(all_done_);
  }
  for (const Done& done : all) {
    const auto client = clients_.find(done.fd);
    // Its process may have ended meanwhile.
    if (client == clients_.end() ||
        client->second.connection != done.connection) {
      continue;
    }
    End(done.fd);
  }
}

void AttachServer::StopAwaiting(const SessionId& session) {
  for (auto entry = awaited_.begin(); entry != awaited_.end(); ++entry) {
    if (entry->second.second == session) {
      awaited_.erase(entry);
      return;
    }
  }
}

void AttachServer::End(int fd) {
  const auto found = clients_.find(fd);
  const AttachConnection& connection = *found->second.connection;
  SHMD_FAILPOINT("session.end");
  parts_.sessions->End(connection.session());
  SHMD_FAILPOINT("session.ended");
  const auto count = connections_of_uid_.find(connection.caller().uid);
  if (--count->second == 0) connections_of_uid_.erase(count);
  sockets_of_pidfds_.erase(found->second.pidfd.get());
  // Closing a descriptor takes it out of the epoll set (epoll(7)).
  clients_.erase(found);
}

void AttachServer::ProcessEnded(int pidfd) {
  // Its number may be another one's by now, in the same turn.
  if (!HasEnded(pidfd)) return;
  const auto client = sockets_of_pidfds_.find(pidfd);
  if (client != sockets_of_pidfds_.end()) {
    End(client->second);
    return;
  }
  const auto awaited = awaited_.find(pidfd);
  // Neither: of a client that ended earlier in this turn.
  if (awaited == awaited_.end()) return;
  // Unless its program came back before it ended.
  parts_.sessions->EndIfAwaited(awaited->second.second);
  awaited_.erase(awaited);
}

}  // namespace shmd
