#include "shm/lane/host_sleep.h"

#include <sched.h>

namespace shmd {

uint32_t HostSleep::MaxSpins() {
  static const uint32_t spins = [] {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    // More CPUs than the set has room for are more than one.
    const bool alone = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 &&
                       CPU_COUNT(&allowed) == 1;
    return alone ? 0 : 2000;
  }();
  return spins;
}

}  // namespace shmd
