#include "shm/lane/host_sleep.h"

#include <unistd.h>

namespace shmd {

uint32_t HostSleep::MaxSpins() {
  static const uint32_t spins = [] {
    // Of the machine and not of this thread: one that keeps to a CPU of its own
    // does so to be answered without a system call, by a daemon on another.
    return sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2000 : 0;
  }();
  return spins;
}

}  // namespace shmd
