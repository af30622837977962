#include "server/access/policy.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

// Whether this process is in a user namespace that maps fewer than all uids.
bool HasUnmappedUids() {
  std::ifstream map("/proc/self/uid_map");
  uint64_t inside = 0, outside = 0, count = 0;
  map >> inside >> outside >> count;
  return count != 4294967295;
}

uid_t ReadOverflowUid() {
  std::ifstream file("/proc/sys/kernel/overflowuid");
  uid_t uid = 65534;
  file >> uid;
  return uid;
}

constexpr uid_t kNobody = static_cast<uid_t>(-1);

}  // namespace

bool IsInGroup(const Caller& caller, gid_t group) {
  return caller.gid == group ||
         std::find(caller.groups.begin(), caller.groups.end(), group) !=
             caller.groups.end();
}

bool ModeAllows(const Caller& caller, const Ownership& ownership,
                unsigned wanted) {
  if (caller.is_administrator) return true;
  unsigned shift = 0;
  if (caller.uid == ownership.owner) {
    shift = 6;
  } else if (IsInGroup(caller, ownership.group)) {
    shift = 3;
  }
  return ((ownership.mode >> shift) & wanted) == wanted;
}

bool MayAccess(const Caller& caller, const Ownership& ownership,
               Access access) {
  return ModeAllows(caller, ownership, access == Access::kRead ? 04 : 06);
}

bool MayManage(const Caller& caller, const Ownership& ownership) {
  return caller.is_administrator || caller.uid == ownership.owner;
}

absl::Status CallerNotAllowed(const Caller& caller) {
  Error error(absl::StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
              "the caller may not do this");
  if (caller.certificate_names.empty()) {
    return error.With("caller_uid", caller.uid);
  }
  return error.With("caller_certificate", caller.certificate_names.front());
}

absl::Status CheckNewOwnership(const Caller& caller, uid_t owner, gid_t group) {
  if (caller.is_administrator) return absl::OkStatus();
  if (owner != caller.uid || !IsInGroup(caller, group)) {
    return CallerNotAllowed(caller);
  }
  return absl::OkStatus();
}

CallerPolicy::CallerPolicy(std::vector<uid_t> administrators,
                           std::vector<std::string> certificates)
    : administrators_(std::move(administrators)),
      certificates_(std::move(certificates)),
      unmapped_uid_(HasUnmappedUids() ? ReadOverflowUid() : kNobody) {
  administrators_.push_back(0);
  administrators_.push_back(geteuid());
}

absl::StatusOr<Caller> CallerPolicy::Identify(
    const sys::PeerCredentials& peer) const {
  if (peer.uid == kNobody || peer.uid == unmapped_uid_) {
    return absl::StatusOr<Caller>(
        Error(absl::StatusCode::kUnauthenticated, reason::kCallerUnknown,
              "the caller's uid has no name in the daemon's user namespace"));
  }
  Caller caller;
  caller.uid = peer.uid;
  caller.gid = peer.gid;
  caller.groups = peer.groups;
  caller.pid = peer.pid;
  caller.is_administrator =
      std::find(administrators_.begin(), administrators_.end(), peer.uid) !=
      administrators_.end();
  return caller;
}

absl::StatusOr<Caller> CallerPolicy::IdentifyCertificate(
    std::vector<std::string> names) const {
  Caller caller;
  caller.certificate_names = std::move(names);
  caller.is_administrator =
      std::find_first_of(caller.certificate_names.begin(),
                         caller.certificate_names.end(), certificates_.begin(),
                         certificates_.end()) != caller.certificate_names.end();
  if (caller.is_administrator ||
      (is_let_in_ != nullptr && is_let_in_(caller))) {
    return caller;
  }
  return CallerNotAllowed(caller);
}

}  // namespace shmd
