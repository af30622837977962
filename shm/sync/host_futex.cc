#include "shm/sync/host_futex.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace shmd {

uint32_t HostFutex::MaxSpins() {
  static const uint32_t spins = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 100 : 0;
  return spins;
}

uint32_t HostFutex::ThreadId() {
  // No system call but for the first.
  thread_local const auto id = static_cast<uint32_t>(syscall(SYS_gettid));
  return id;
}

}  // namespace shmd
