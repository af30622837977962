#include "server/access/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "shm/sys/socket.h"

namespace shmd {
namespace {

UniqueFd OpenSpare() {
  return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

UniqueFd AcceptOne(int listener) {
  return UniqueFd(
      accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

}  // namespace

Acceptor::Acceptor(const CallerPolicy* policy)
    : policy_(policy), spare_(OpenSpare()) {}

std::optional<Acceptor::Accepted> Acceptor::Accept(int listener) {
  Accepted accepted;
  accepted.socket = AcceptOne(listener);
  if (!accepted.socket.valid()) {
    if (errno != EMFILE && errno != ENFILE) return std::nullopt;
    Log(LogLevel::kError, "no descriptor for another connection");
    spare_.Reset();
    AcceptOne(listener).Reset();
    spare_ = OpenSpare();
    return std::nullopt;
  }
  const absl::StatusOr<sys::PeerCredentials> peer =
      sys::ReadPeerCredentials(accepted.socket.get());
  if (!peer.ok()) return std::nullopt;
  absl::StatusOr<Caller> caller = policy_->Identify(*peer);
  if (!caller.ok()) return std::nullopt;
  accepted.caller = *std::move(caller);
  return accepted;
}

}  // namespace shmd
