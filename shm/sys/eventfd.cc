#include "shm/sys/eventfd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "shm/sys/errno_table.h"

namespace shmd::sys {

absl::StatusOr<UniqueFd> MakeEventfd() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (fd.valid()) return fd;
  return StatusOfErrno(errno, "eventfd", {});
}

absl::Status RingEventfd(int fd) {
  const uint64_t one = 1;
  while (write(fd, &one, sizeof(one)) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) break;
    return StatusOfErrno(errno, "write", {});
  }
  return absl::OkStatus();
}

}  // namespace shmd::sys
