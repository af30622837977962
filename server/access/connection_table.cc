#include "server/access/connection_table.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

int DescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
}

}  // namespace

// The upper half of all numbers: what else the daemon opens takes the lowest.
ConnectionTable::ConnectionTable(const CallerPolicy* policy)
    : policy_(policy),
      first_number_(DescriptorLimit() / 2),
      end_number_(DescriptorLimit()),
      next_number_(first_number_) {}

absl::StatusOr<int> ConnectionTable::Add(UniqueFd connection, Caller caller) {
  auto shared = std::make_shared<const Caller>(std::move(caller));
  absl::MutexLock lock(&mutex_);
  int number = fcntl(connection.get(), F_DUPFD_CLOEXEC, next_number_);
  if (number < 0) {
    // The round is over, or all behind next_number_ are in use.
    number = fcntl(connection.get(), F_DUPFD_CLOEXEC, first_number_);
  }
  if (number < 0) {
    return Error(absl::StatusCode::kResourceExhausted,
                 reason::kDescriptorsExhausted,
                 "the daemon has no descriptor for another connection");
  }
  next_number_ = number + 1 < end_number_ ? number + 1 : first_number_;
  callers_[number] = std::move(shared);
  return number;
}

absl::StatusOr<std::shared_ptr<const Caller>> ConnectionTable::Find(
    absl::string_view peer) const {
  int number = -1;
  if (absl::ConsumePrefix(&peer, "fd:") && absl::SimpleAtoi(peer, &number)) {
    absl::ReaderMutexLock lock(&mutex_);
    const auto found = callers_.find(number);
    if (found != callers_.end()) return found->second;
  }
  return absl::StatusOr<std::shared_ptr<const Caller>>(
      Error(absl::StatusCode::kUnauthenticated, reason::kCallerUnknown,
            "the kernel's word on the caller is missing"));
}

}  // namespace shmd
