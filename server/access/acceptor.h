#ifndef SHMD_SERVER_ACCESS_ACCEPTOR_H_
#define SHMD_SERVER_ACCESS_ACCEPTOR_H_

#include <optional>

#include "base/unique_fd.h"
#include "server/access/caller.h"
#include "server/access/policy.h"

namespace shmd {

// Accepts connections on a Unix socket together with the kernel's word on who
// made them. Not thread-safe: one for each listener.
class Acceptor {
 public:
  // Borrows `policy`.
  explicit Acceptor(const CallerPolicy* policy);

  struct Accepted {
    UniqueFd socket;  // non-blocking
    Caller caller;
  };

  // nullopt when there is none, or when the caller was turned away.
  std::optional<Accepted> Accept(int listener);

 private:
  const CallerPolicy* const policy_;
  // Given up for a moment when descriptors run out: without one a connection
  // would stay in the queue and wake us for ever, so it is taken and closed,
  // which tells its program.
  UniqueFd spare_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ACCESS_ACCEPTOR_H_
