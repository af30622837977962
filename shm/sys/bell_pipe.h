#ifndef SHMD_SHM_SYS_BELL_PIPE_H_
#define SHMD_SHM_SYS_BELL_PIPE_H_

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// A pipe that wakes who waits with poll(2) or epoll(7): bytes say no more than
// that there is something. Thread-safe.

struct BellPipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

// DESCRIPTORS_EXHAUSTED.
absl::StatusOr<BellPipe> CreateBellPipe();

// Makes the read end readable, never waits, and raises no SIGPIPE.
void RingBellPipe(int write_end);

// Makes it not readable again; false when nobody has the other end any more, so
// that it always is.
bool DrainBellPipe(int read_end);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_BELL_PIPE_H_
