#include "client/cpp/session_link.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "client/cpp/attach_answer.h"
#include "client/cpp/backoff.h"
#include "client/cpp/rpc_status.h"

namespace shmd {
inline namespace client {
absl::StatusOr<std::shared_ptr<SessionLink>> SessionLink::Open(
    const Options& options) {
  auto link = std::make_shared<SessionLink>(options);
  RETURN_IF_ERROR(link->Connect());
  RETURN_IF_ERROR(link->Start());
  return link;
}

SessionLink::SessionLink(const Options& options)
    : options_(options), pid_(getpid()) {}

SessionLink::~SessionLink() {
  if (thread_ == nullptr) return;
  if (!owned_by_this_process()) {
    // The thread is the parent's: there is nothing to join, and its object
    // may not be destroyed without.
    static_cast<void>(thread_.release());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Wake();
  thread_->join();
}

bool SessionLink::owned_by_this_process() const { return getpid() == pid_; }

absl::Status SessionLink::Start() {
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return ErrnoStatus(errno, "eventfd");
  // The program's signals are the program's threads' to handle.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::make_unique<std::thread>([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return absl::OkStatus();
}

void SessionLink::Wake() const {
  const uint64_t one = 1;
  // Full means that it is awake already.
  if (write(wake_.get(), &one, sizeof(one)) < 0) return;
}

void SessionLink::Run() {
  Backoff backoff;
  while (true) {
    std::shared_ptr<AttachSocket> socket;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      socket = socket_;
    }
    if (socket != nullptr) {
      AwaitHangUp(*socket);
      pollfd hang_up = {socket->descriptor(), POLLRDHUP, 0};
      if (poll(&hang_up, 1, 0) == 1) Drop(socket);
      backoff.Reset();
    } else if (Connect().ok()) {
      Renew();
    } else {
      pollfd woken = {wake_.get(), POLLIN, 0};
      poll(&woken, 1,
           static_cast<int>(absl::ToInt64Milliseconds(backoff.Next())) + 1);
      uint64_t count;
      if (read(wake_.get(), &count, sizeof(count)) < 0) continue;
    }
  }
}

void SessionLink::Renew() {
  std::map<uint64_t, Renewal> renewals;
  std::shared_ptr<AttachSocket> socket;
  {
    absl::MutexLock lock(&mutex_);
    renewals = renewals_;
    socket = socket_;
  }
  for (const auto& [number, renew] : renewals) {
    // What is lost comes back, and is asked anew.
    if (socket == nullptr || socket->lost()) return;
    renew(*socket);
  }
}

uint64_t SessionLink::OnReconnect(Renewal renew) {
  absl::MutexLock lock(&mutex_);
  renewals_[++last_renewal_] = std::move(renew);
  return last_renewal_;
}

void SessionLink::Forget(uint64_t renewal) {
  absl::MutexLock lock(&mutex_);
  renewals_.erase(renewal);
}

void SessionLink::AwaitHangUp(const AttachSocket& socket) {
  // Not for POLLIN: answers are for the calls.
  pollfd events[] = {{socket.descriptor(), POLLRDHUP, 0},
                     {wake_.get(), POLLIN, 0}};
  poll(events, 2, -1);
  uint64_t count;
  if (read(wake_.get(), &count, sizeof(count)) < 0) return;
}

absl::Status SessionLink::Connect() {
  AttachSocket::Identity earlier;
  std::map<uint64_t, Hold> holds;
  uint64_t attempt;
  {
    absl::MutexLock lock(&mutex_);
    attempt = ++attempts_begun_;
    earlier = identity_;
    holds = holds_;
  }
  Renewed renewed;
  absl::StatusOr<std::shared_ptr<AttachSocket>> socket =
      AttachSocket::Open(options_.socket, earlier);
  absl::Status status = socket.status();
  if (status.ok()) status = AttachAgain(**socket, holds, &renewed);
  absl::MutexLock lock(&mutex_);
  attempts_done_ = attempt;
  if (status.ok()) {
    Publish(*std::move(socket), renewed);
  } else {
    last_error_ = status;
  }
  return status;
}

// An error only when the connection is of no use.
absl::Status SessionLink::AttachAgain(AttachSocket& socket,
                                      const std::map<uint64_t, Hold>& holds,
                                      Renewed* renewed) {
  for (const auto& [number, hold] : holds) {
    if (*hold.lost) continue;
    // The descriptor that comes is closed at once: the mapping is there.
    const absl::StatusOr<AttachSocket::Grant> again =
        socket.Attach(hold.handle, hold.access);
    if (again.ok()) {
      const Attachment::Facts& facts = again->facts;
      if (facts.generation == hold.generation &&
          facts.segment_size_bytes >= hold.size_bytes) {
        renewed->emplace_back(number, facts.id);
        continue;
      }
      socket.Detach(facts.id);
    } else if (socket.lost() || absl::IsDeadlineExceeded(again.status())) {
      return again.status();
    }
    renewed->emplace_back(number, std::nullopt);
  }
  return absl::OkStatus();
}

void SessionLink::Publish(std::shared_ptr<AttachSocket> socket,
                          const Renewed& renewed) {
  for (const auto& [number, attachment_id] : renewed) {
    const auto found = holds_.find(number);
    if (found == holds_.end()) {
      // Ended meanwhile.
      if (attachment_id.has_value()) socket->Detach(*attachment_id);
    } else if (attachment_id.has_value()) {
      found->second.attachment_id = *attachment_id;
    } else {
      *found->second.lost = true;
    }
  }
  identity_ = socket->identity();
  socket_ = std::move(socket);
  connections_.fetch_add(1, std::memory_order_release);
  away_since_ = absl::InfiniteFuture();
}

void SessionLink::Drop(const std::shared_ptr<AttachSocket>& socket) {
  absl::MutexLock lock(&mutex_);
  if (socket_ != socket) return;
  socket_.reset();
  away_since_ = absl::Now();
  last_error_ =
      UnreachableStatus(options_.socket.socket_dir, "it closed the connection");
}

absl::StatusOr<std::shared_ptr<AttachSocket>> SessionLink::AwaitSocket() {
  absl::MutexLock lock(&mutex_);
  if (socket_ != nullptr) return socket_;
  const auto connected = [this] { return socket_ != nullptr; };
  mutex_.AwaitWithDeadline(absl::Condition(&connected),
                           away_since_ + options_.patience);
  if (socket_ != nullptr) return socket_;
  // One last attempt, begun after the call, so that a daemon which is back is
  // always found.
  const uint64_t wanted = attempts_begun_ + 1;
  Wake();
  const auto tried = [this, wanted] {
    return socket_ != nullptr || attempts_done_ >= wanted;
  };
  mutex_.Await(absl::Condition(&tried));
  if (socket_ != nullptr) return socket_;
  return last_error_;
}

// Asks again when the daemon goes away before it has answered.
template <typename Ask>
auto SessionLink::Insist(const Ask& ask) -> decltype(ask(nullptr)) {
  const absl::Time give_up = absl::Now() + options_.patience;
  bool tried = false;
  while (true) {
    ASSIGN_OR_RETURN(const std::shared_ptr<AttachSocket> socket, AwaitSocket());
    auto answer = ask(socket);
    if (answer.ok() || !socket->lost()) return answer;
    Drop(socket);
    if (tried && absl::Now() >= give_up) return answer;
    tried = true;
  }
}

SessionLink::Grant SessionLink::AddHold(absl::string_view handle,
                                        AttachSocket::Grant granted) {
  Hold& hold = holds_[++last_hold_];
  hold.handle = std::string(handle);
  hold.access = granted.facts.access;
  hold.attachment_id = granted.facts.id;
  hold.generation = granted.facts.generation;
  hold.size_bytes = granted.facts.segment_size_bytes;
  return Grant{last_hold_, std::move(granted)};
}

absl::StatusOr<SessionLink::Grant> SessionLink::Attach(absl::string_view handle,
                                                       Access access) {
  while (true) {
    std::shared_ptr<AttachSocket> asked;
    ASSIGN_OR_RETURN(AttachSocket::Grant granted,
                     Insist([&](const std::shared_ptr<AttachSocket>& socket) {
                       asked = socket;
                       return socket->Attach(handle, access);
                     }));
    absl::MutexLock lock(&mutex_);
    // Otherwise its connection has ended, and the attachment with it.
    if (socket_ == asked) return AddHold(handle, std::move(granted));
  }
}

absl::StatusOr<SessionLink::Joined> SessionLink::Join(
    v1::JoinChannelRequest request) {
  static std::atomic<uint64_t> last_request{0};
  if (request.request_id().empty()) {
    request.set_request_id(absl::StrCat(last_request.fetch_add(1) + 1));
  }
  while (true) {
    std::shared_ptr<AttachSocket> asked;
    ASSIGN_OR_RETURN(AttachSocket::Joined joined,
                     Insist([&](const std::shared_ptr<AttachSocket>& socket) {
                       asked = socket;
                       return socket->Join(request);
                     }));
    absl::MutexLock lock(&mutex_);
    if (socket_ != asked) continue;
    const std::vector<std::string> handles = PartHandlesOf(joined.members);
    Joined out;
    for (size_t i = 0; i < joined.grants.size(); ++i) {
      out.grants.push_back(AddHold(handles[i], std::move(joined.grants[i])));
    }
    out.members = std::move(joined.members);
    return out;
  }
}

absl::Status SessionLink::Leave(const std::string& member) {
  return Exchange([&](AttachSocket& socket) { return socket.Leave(member); });
}

absl::Status SessionLink::Exchange(
    const std::function<absl::Status(AttachSocket&)>& ask) {
  // Insist is for what has a result.
  return Insist([&](const std::shared_ptr<AttachSocket>& socket)
                    -> absl::StatusOr<bool> {
           RETURN_IF_ERROR(ask(*socket));
           return true;
         })
      .status();
}

absl::Status SessionLink::ExchangeOnce(
    const std::function<absl::Status(AttachSocket&)>& ask) {
  ASSIGN_OR_RETURN(std::shared_ptr<AttachSocket> socket, AwaitSocket());
  while (!socket->IsConnected()) {
    Drop(socket);
    ASSIGN_OR_RETURN(socket, AwaitSocket());
  }
  absl::Status answer = ask(*socket);
  if (!answer.ok() && socket->lost()) Drop(socket);
  return answer;
}

uint64_t SessionLink::StandingConnection() const {
  const uint64_t number = connections();
  const std::shared_ptr<AttachSocket> socket = Socket();
  const bool stands = socket != nullptr && socket->IsConnected();
  return stands && connections() == number ? number : 0;
}

void SessionLink::Detach(uint64_t hold) {
  if (!owned_by_this_process()) return;
  std::shared_ptr<AttachSocket> socket;
  uint64_t attachment_id = 0;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = holds_.find(hold);
    if (found == holds_.end()) return;
    if (!*found->second.lost) socket = socket_;
    attachment_id = found->second.attachment_id;
    holds_.erase(found);
  }
  if (socket != nullptr) socket->Detach(attachment_id);
}

bool SessionLink::IsAttached(uint64_t hold) const {
  absl::MutexLock lock(&mutex_);
  const auto found = holds_.find(hold);
  return found != holds_.end() && !*found->second.lost;
}

std::shared_ptr<const std::atomic<bool>> SessionLink::LostFlag(
    uint64_t hold) const {
  absl::MutexLock lock(&mutex_);
  const auto found = holds_.find(hold);
  if (found != holds_.end()) return found->second.lost;
  return std::make_shared<std::atomic<bool>>(true);
}

absl::StatusOr<UniqueFd> SessionLink::OpenPart(const AttachSocket::Part& part) {
  const std::shared_ptr<AttachSocket> socket = Socket();
  if (socket == nullptr) {
    return UnreachableStatus(options_.socket.socket_dir, "it is away");
  }
  absl::StatusOr<UniqueFd> opened = socket->OpenPart(part);
  if (!opened.ok() && socket->lost()) Drop(socket);
  return opened;
}

std::shared_ptr<AttachSocket> SessionLink::Socket() const {
  absl::MutexLock lock(&mutex_);
  return socket_;
}

void SessionLink::Ring() {
  const std::shared_ptr<AttachSocket> socket = Socket();
  if (socket != nullptr) socket->Ring();
}

void SessionLink::AwaitDetaches() {
  const std::shared_ptr<AttachSocket> socket = Socket();
  if (socket != nullptr) socket->AwaitDetaches();
}

std::string SessionLink::session_name() const {
  absl::MutexLock lock(&mutex_);
  return identity_.session;
}

absl::StatusOr<std::string> SessionLink::AwaitSession() {
  while (true) {
    ASSIGN_OR_RETURN(const std::shared_ptr<AttachSocket> socket, AwaitSocket());
    if (socket->Answers()) return socket->identity().session;
    Drop(socket);
  }
}

}  // namespace client
}  // namespace shmd
