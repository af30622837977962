#include "server/census/sole_holder.h"

#include <fcntl.h>
#include <signal.h>

#include <cerrno>

namespace shmd {

OtherHolders TakeLease(int fd) {
  // Who comes to wait is announced by SIGIO, which ends a process; SIGURG is
  // passed over by default. The lease is asked for when it matters, not heard
  // of.
  if (fcntl(fd, F_SETSIG, SIGURG) != 0) return OtherHolders::kUnknown;
  if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0) return OtherHolders::kNone;
  return errno == EAGAIN ? OtherHolders::kSome : OtherHolders::kUnknown;
}

bool IsLeaseWhole(int fd) { return fcntl(fd, F_GETLEASE) == F_WRLCK; }

}  // namespace shmd
