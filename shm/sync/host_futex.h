#ifndef SHMD_SHM_SYNC_HOST_FUTEX_H_
#define SHMD_SHM_SYNC_HOST_FUTEX_H_

#include <climits>
#include <cstdint>

#include "shm/sys/futex.h"

namespace shmd {

// Never passes.
inline constexpr uint64_t kNoDeadlineNs = sys::kNoDeadlineNs;

// What primitives need of the kernel: the part that a model checker replaces,
// beside the memory itself.
struct HostFutex {
  // Sleeps while `*word` is `expected`; false when the deadline has come. May
  // return true for no reason.
  static bool Wait(const uint32_t* word, uint32_t expected,
                   uint64_t deadline_ns) {
    return sys::FutexWaitUntil(word, expected, deadline_ns);
  }

  static void WakeOne(const uint32_t* word) { sys::FutexWake(word, 1); }
  static void WakeSome(const uint32_t* word, uint32_t count) {
    sys::FutexWake(word, count > INT_MAX ? INT_MAX : static_cast<int>(count));
  }
  static void WakeAll(const uint32_t* word) { sys::FutexWakeAll(word); }

  static bool IsPast(uint64_t deadline_ns) {
    return deadline_ns != kNoDeadlineNs && sys::MonotonicNs() >= deadline_ns;
  }

  // One turn of a loop that waits for another CPU.
  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
  }

  // How many such turns are worth while before sleeping. None where there is
  // no other CPU.
  static uint32_t MaxSpins();

  // For people: a time that may be some milliseconds old, and who calls.
  static uint64_t RecentNs() { return sys::RecentMonotonicNs(); }
  static uint32_t ThreadId();
};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_HOST_FUTEX_H_
