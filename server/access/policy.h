#ifndef SHMD_SERVER_ACCESS_POLICY_H_
#define SHMD_SERVER_ACCESS_POLICY_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/access/caller.h"
#include "shm/sys/socket.h"
#include "shm/types.h"

namespace shmd {

// The owner, group and mode of a segment, as of a file.
struct Ownership {
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0600;
};

// Whether a group is the caller's, or one of the further ones.
bool IsInGroup(const Caller& caller, gid_t group);

// Whether the mode has all the bits `wanted`, of 04 to read and 02 to write,
// for the caller. Only the first that fits of owner, group and others counts,
// as the kernel has it (path_resolution(7)); an administrator may everything.
bool ModeAllows(const Caller& caller, const Ownership& ownership,
                unsigned wanted);

// The same for one kind of access.
bool MayAccess(const Caller& caller, const Ownership& ownership, Access access);

// Whether the caller may change or remove what is owned so.
bool MayManage(const Caller& caller, const Ownership& ownership);

// PERMISSION_DENIED with CALLER_NOT_ALLOWED.
absl::Status CallerNotAllowed(const Caller& caller);

// Whether the caller may make something that is owned so: another's uid, or a
// group that the caller is not in, is for administrators.
absl::Status CheckNewOwnership(const Caller& caller, uid_t owner, gid_t group);

// Decides who is an administrator. Thread-safe.
class CallerPolicy {
 public:
  // `administrators` beside uid 0 and the daemon's own, and the names of
  // client certificates whose holders are some too.
  explicit CallerPolicy(std::vector<uid_t> administrators,
                        std::vector<std::string> certificates = {});

  // The caller of a connection; CALLER_UNKNOWN (UNAUTHENTICATED) for uids that
  // this user namespace has no name for: the kernel shows them all as one.
  absl::StatusOr<Caller> Identify(const sys::PeerCredentials& peer) const;

  // The caller with a verified client certificate of these names. It has no
  // uid: the one that it has is nobody's. CALLER_NOT_ALLOWED
  // (PERMISSION_DENIED) unless it is an administrator, or let in.
  absl::StatusOr<Caller> IdentifyCertificate(
      std::vector<std::string> names) const;

  // Lets in those, besides administrators, that `is_let_in` knows. Before the
  // policy is used.
  void LetIn(std::function<bool(const Caller&)> is_let_in) {
    is_let_in_ = std::move(is_let_in);
  }

 private:
  std::vector<uid_t> administrators_;
  std::vector<std::string> certificates_;
  std::function<bool(const Caller&)> is_let_in_;
  uid_t unmapped_uid_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ACCESS_POLICY_H_
