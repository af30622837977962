#ifndef SHMD_CLIENT_CPP_SESSION_LINK_H_
#define SHMD_CLIENT_CPP_SESSION_LINK_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "client/cpp/attach_socket.h"

namespace shmd {
inline namespace client {

// A program's session with the daemon, over as many connections as it takes.
// Held by the Client and by every attachment that came through it.
//
// A thread of its own waits for the hang-up of the connection and makes the
// next one, also while the program makes no call: the daemon waits for its
// sessions only so long (shmd --session_grace_seconds). That thread alone
// connects, and it only polls, so that it takes nothing from the calls; they
// wait until it has succeeded. It resumes the session, attaches again what is
// held, and touches no mapping.
//
// Thread-safe. In a child after fork(2) nothing may be called but Detach and
// the destructor, which do nothing there.
class SessionLink {
 public:
  struct Options {
    AttachSocket::Options socket;
    // How long calls wait for a daemon that has gone, from when it went.
    absl::Duration patience;
  };
  struct Grant {
    uint64_t hold = 0;  // for Detach
    AttachSocket::Grant granted;
  };

  // Connects, once; SERVER_UNREACHABLE, NAMESPACE_NOT_FOUND.
  static absl::StatusOr<std::shared_ptr<SessionLink>> Open(
      const Options& options);

  explicit SessionLink(const Options& options);
  ~SessionLink();

  // Asks for a segment, again if the daemon goes away meanwhile.
  absl::StatusOr<Grant> Attach(absl::string_view handle, Access access);
  // Takes part in a channel; one hold for each grant. Gives the request an id
  // if it has none, and asks again if the daemon goes away meanwhile.
  struct Joined {
    v1::JoinChannelResponse members;
    std::vector<Grant> grants;
  };
  absl::StatusOr<Joined> Join(v1::JoinChannelRequest request);
  // Takes part no more; waits for a daemon that is away, as Attach does.
  absl::Status Leave(const std::string& member);
  // Has `ask` make a request of the connection, again of the next one if the
  // daemon goes away before it has answered.
  absl::Status Exchange(const std::function<absl::Status(AttachSocket&)>& ask);
  // The same once, for what would do harm when it is done again: not on a
  // connection that has ended, and not again when the answer is lost.
  absl::Status ExchangeOnce(
      const std::function<absl::Status(AttachSocket&)>& ask);
  // Ends a hold; never blocks.
  void Detach(uint64_t hold);
  // Whether the daemon counts a hold. Once false, never true again.
  bool IsAttached(uint64_t hold) const;
  // True once IsAttached is false; never null.
  std::shared_ptr<const std::atomic<bool>> LostFlag(uint64_t hold) const;

  // Asks for a part of a channel. Does not wait for a daemon that is away, nor
  // ask again: SERVER_UNREACHABLE.
  absl::StatusOr<UniqueFd> OpenPart(const AttachSocket::Part& part);

  // Calls `renew`, which must not wait for long, with each further connection,
  // on the link's own thread, until Forget.
  using Renewal = std::function<void(AttachSocket& socket)>;
  uint64_t OnReconnect(Renewal renew);
  // It may be under way for a last time.
  void Forget(uint64_t renewal);

  // Has the daemon look at the ring of this session's page; never blocks, and
  // does nothing while the daemon is away.
  void Ring();

  // As AttachSocket::AwaitDetaches.
  void AwaitDetaches();

  // How many connections there were. A daemon that was started anew is another
  // one.
  uint64_t connections() const {
    return connections_.load(std::memory_order_acquire);
  }
  // Which of them it is that stands right now; 0 when none does.
  uint64_t StandingConnection() const;

  // The session's name, which changes when the daemon did not wait for it.
  std::string session_name() const;
  // The same, once there is a connection whose daemon answers.
  absl::StatusOr<std::string> AwaitSession();

  // Whether this process opened it, and not its parent before a fork.
  bool owned_by_this_process() const;

 private:
  // What to attach again.
  struct Hold {
    std::string handle;
    Access access = Access::kRead;
    uint64_t attachment_id = 0;
    uint64_t generation = 0;
    uint64_t size_bytes = 0;
    std::shared_ptr<std::atomic<bool>> lost =
        std::make_shared<std::atomic<bool>>(false);
  };
  // Holds by number, and what became of them on a new connection: no value
  // when the segment is gone.
  using Renewed = std::vector<std::pair<uint64_t, std::optional<uint64_t>>>;

  absl::Status Start();
  void Run();
  void Renew();
  // Until the connection is over, or the link is.
  void AwaitHangUp(const AttachSocket& socket);
  // One attempt, and what it took over.
  absl::Status Connect();
  static absl::Status AttachAgain(AttachSocket& socket,
                                  const std::map<uint64_t, Hold>& holds,
                                  Renewed* renewed);
  void Publish(std::shared_ptr<AttachSocket> socket, const Renewed& renewed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The connection; waits for one if need be.
  absl::StatusOr<std::shared_ptr<AttachSocket>> AwaitSocket();
  // The connection, if there is one now.
  std::shared_ptr<AttachSocket> Socket() const;
  // Has `ask` ask a connection, until the daemon has answered.
  template <typename Ask>
  auto Insist(const Ask& ask) -> decltype(ask(nullptr));
  Grant AddHold(absl::string_view handle, AttachSocket::Grant granted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const std::shared_ptr<AttachSocket>& socket);
  void Wake() const;

  const Options options_;
  const pid_t pid_;
  UniqueFd wake_;  // eventfd
  std::atomic<uint64_t> connections_{0};

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // None while the daemon is away.
  std::shared_ptr<AttachSocket> socket_ ABSL_GUARDED_BY(mutex_);
  AttachSocket::Identity identity_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Hold> holds_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_hold_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Renewal> renewals_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_renewal_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time away_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  uint64_t attempts_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t attempts_done_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status last_error_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<std::thread> thread_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_SESSION_LINK_H_
