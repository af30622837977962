#include "shm/sys/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

#include "base/clock.h"

namespace shmd::sys {

int FutexWakeAll(const uint32_t* word) { return FutexWake(word, INT_MAX); }

bool FutexWaitUntil(const uint32_t* word, uint32_t expected,
                    uint64_t deadline_ns) {
  const bool for_ever = deadline_ns == kNoDeadlineNs;
  timespec until = {};
  until.tv_sec = static_cast<time_t>(deadline_ns / 1'000'000'000);
  until.tv_nsec = static_cast<long>(deadline_ns % 1'000'000'000);
  // Not FUTEX_PRIVATE_FLAG: who wakes is another program. The _BITSET form is
  // the one that takes a point in time rather than a length.
  const long slept =
      syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected,
              for_ever ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (slept == 0 || for_ever) return true;
  // EAGAIN, EINTR: the word has changed, or a signal came; both are reasons to
  // look again.
  return errno != ETIMEDOUT && MonotonicNs() < deadline_ns;
}

int FutexWake(const uint32_t* word, int count) {
  const long woken =
      syscall(SYS_futex, word, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

uint64_t MonotonicNs() { return ReadClockNs(CLOCK_MONOTONIC); }
uint64_t RecentMonotonicNs() { return ReadClockNs(CLOCK_MONOTONIC_COARSE); }

bool FutexApply(uint32_t* word, FutexChange change, int argument) {
  uint32_t operation = 0;
  switch (change) {
    case FutexChange::kSetToBit:
      operation = FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT;
      break;
    case FutexChange::kClear:
      operation = FUTEX_OP_SET;
      argument = 0;
      break;
    case FutexChange::kOrBit:
      operation = FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT;
      break;
    case FutexChange::kAdd:
      operation = FUTEX_OP_ADD;
      break;
  }
  const uint32_t encoded =
      operation << 28 | (static_cast<uint32_t>(argument) & 0xFFF) << 12;
  // Nobody sleeps on our own word, which the call cannot do without.
  uint32_t nobody = 0;
  return syscall(SYS_futex, &nobody, FUTEX_WAKE_OP, 0, nullptr, word,
                 encoded) >= 0;
}

}  // namespace shmd::sys
