#include "shm/sys/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace shmd::sys {

bool FutexWait(const uint32_t* word, uint32_t expected, absl::Time deadline) {
  timespec until = {};
  const bool for_ever = deadline == absl::InfiniteFuture();
  if (!for_ever) {
    // The kernel refuses times before 1970.
    if (deadline < absl::UnixEpoch()) deadline = absl::UnixEpoch();
    until = absl::ToTimespec(deadline);
  }
  // Not FUTEX_PRIVATE_FLAG: who wakes is another program. The _BITSET form is
  // the one that takes a point in time rather than a length.
  const long slept = syscall(
      SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, expected,
      for_ever ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  // EAGAIN, EINTR: the word has changed, or a signal came; both are reasons to
  // look again.
  return slept == 0 || errno != ETIMEDOUT;
}

int FutexWakeAll(const uint32_t* word) {
  const long woken =
      syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

}  // namespace shmd::sys
