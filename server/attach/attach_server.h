#ifndef SHMD_SERVER_ATTACH_ATTACH_SERVER_H_
#define SHMD_SERVER_ATTACH_ATTACH_SERVER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "base/worker_pool.h"
#include "server/access/acceptor.h"
#include "server/attach/attach_connection.h"
#include "server/registry/segment_registry.h"
#include "server/session/session_table.h"

namespace shmd {

inline constexpr size_t kMaxAttachConnectionsPerUid = 4096;
// Threads for requests that may wait.
inline constexpr size_t kAttachWorkers = 4;
// Threads for those that may take as long as calls.
inline constexpr size_t kAttachLongWorkers = 8;
// Threads that serve one busy connection each.
inline constexpr size_t kAttachAttendants = 4;

// The attach socket (attach.proto): redeems handles for descriptors, and tells
// the session table who came and who has gone. One thread serves all
// connections; a request is a look into the registry and a few system calls.
// What may wait goes to threads of their own, and holds up the requests of its
// own connection only. A program whose queue is full is cut off: it asks for
// answers that it does not read.
class AttachServer {
 public:
  struct Parts {
    const CallerPolicy* policy = nullptr;
    SegmentRegistry* registry = nullptr;
    SessionTable* sessions = nullptr;
    Clock* clock = nullptr;
    // How long the sessions of an earlier run are awaited.
    absl::Duration session_grace;
    // Has the ring of a session looked at.
    std::function<void(const SessionId&)> wake = [](const SessionId&) {};
    ChannelRegistry* channels = nullptr;
  };

  // Serves on `listener`, a listening SOCK_SEQPACKET socket, until destroyed.
  // Borrows the parts.
  static absl::StatusOr<std::unique_ptr<AttachServer>> Start(
      UniqueFd listener, const Parts& parts);

  // Closes all connections. Sessions do not end by that: their programs come
  // back to the next daemon, and keep what they have mapped.
  ~AttachServer();

 private:
  // A connection and the process at its other end.
  struct Client {
    // Shared with a thread that serves a request of it.
    std::shared_ptr<AttachConnection> connection;
    UniqueFd pidfd;  // invalid where the kernel has none
  };

  AttachServer(UniqueFd listener, const Parts& parts)
      : listener_(std::move(listener)),
        acceptor_(parts.policy),
        parts_(parts) {}

  void Run();
  void WatchAwaited();
  int MillisecondsToGraceEnd();
  void Accept();
  void Begin(Acceptor::Accepted accepted);
  void Serve(int fd);
  // Has another thread serve what may wait.
  void Defer(int fd);
  // Has another thread serve nothing but this connection, as long as it is
  // busy: who is answered by a thread that waits for him alone is answered
  // sooner than by one that asks epoll first.
  void Attend(int fd);
  // Has a thread of `pool` serve a connection, by `serve`, and watches it
  // again.
  void HandOver(int fd, WorkerPool& pool,
                std::function<bool(AttachConnection&)> serve);
  void TakeDone();
  void End(int fd);
  void ProcessEnded(int pidfd);
  // Closes the pidfd of a session whose program has come back.
  void StopAwaiting(const SessionId& session);
  absl::Status Watch(int fd);

  UniqueFd listener_;
  UniqueFd epoll_;
  UniqueFd stop_;  // eventfd
  UniqueFd done_;  // eventfd
  Acceptor acceptor_;
  const Parts parts_;
  // Only Run's thread touches these.
  absl::flat_hash_map<int, Client> clients_;         // by socket
  absl::flat_hash_map<int, int> sockets_of_pidfds_;  // those of clients
  // The processes of awaited sessions.
  absl::flat_hash_map<int, std::pair<UniqueFd, SessionId>> awaited_;
  std::optional<absl::Duration> grace_end_;  // since boot
  absl::flat_hash_map<uid_t, size_t> connections_of_uid_;
  std::thread thread_;

  // A connection that ends with a deferred request.
  struct Done {
    int fd = -1;
    std::shared_ptr<AttachConnection> connection;
  };
  absl::Mutex done_mutex_;
  std::vector<Done> all_done_ ABSL_GUARDED_BY(done_mutex_);
  // Ends first: its threads use the rest.
  WorkerPool workers_{kAttachWorkers};
  WorkerPool long_workers_{kAttachLongWorkers};
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> attended_{0};
  WorkerPool attendants_{kAttachAttendants};
};

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_ATTACH_SERVER_H_
