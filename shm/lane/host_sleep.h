#ifndef SHMD_SHM_LANE_HOST_SLEEP_H_
#define SHMD_SHM_LANE_HOST_SLEEP_H_

#include <cstdint>

#include "base/deadline.h"
#include "shm/sys/futex.h"

namespace shmd {

// How a program waits for a counter in shared memory: the part of the lane
// that a model checker replaces, beside the memory itself.
struct HostSleep {
  // Sleeps while the counter's low half is `low`; false when `deadline` came
  // first.
  static bool Wait(const uint64_t* counter, uint32_t low,
                   const Deadline& deadline) {
    return sys::FutexWaitUntil(Futex(counter), low, deadline.ns());
  }

  static void Wake(const uint64_t* counter) {
    sys::FutexWakeAll(Futex(counter));
  }

  // One turn of a loop that waits for another CPU.
  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
  }

  // How many such turns are worth while before sleeping: about what it costs
  // to sleep and be woken. None where there is no other CPU.
  static uint32_t MaxSpins();

 private:
  // SAFETY: memory is little-endian, so the counter's low half comes first.
  static const uint32_t* Futex(const uint64_t* counter) {
    return reinterpret_cast<const uint32_t*>(counter);
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_LANE_HOST_SLEEP_H_
