#ifndef SHMD_SHM_SYS_EVENTFD_H_
#define SHMD_SHM_SYS_EVENTFD_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// Event counters (eventfd(2)), as bells: one side writes, the other has it in
// an epoll set. Thread-safe.
//
// Who listens to a bell that others hold should ask for EPOLLET and never read
// the counter: all holders share the flags of the open file, so one of them
// can take O_NONBLOCK away, and the reader would wait for ever. Each write is
// an edge of its own, read or not.
absl::StatusOr<UniqueFd> MakeEventfd();

// Never waits. OK too when the counter cannot go higher: it has rung then.
absl::Status RingEventfd(int fd);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_EVENTFD_H_
