#ifndef SHMD_SHM_CHANNEL_HOST_WAIT_H_
#define SHMD_SHM_CHANNEL_HOST_WAIT_H_

#include <cstdint>

#include "absl/types/span.h"
#include "base/deadline.h"
#include "shm/lane/host_sleep.h"
#include "shm/sys/futex.h"
#include "shm/sys/futex_any.h"

namespace shmd {

// How a program waits for words in shared memory: the part of a channel that a
// model checker replaces, beside the memory itself.
struct HostWait {
  // Sleeps while each word has the value that goes with it; false when
  // `deadline` came first.
  static bool Any(absl::Span<const sys::FutexWord> words,
                  const Deadline& deadline) {
    return sys::FutexWaitAny(words, deadline);
  }
  // A time that only goes forward, and may be some milliseconds old.
  static uint64_t RecentNs() { return sys::RecentMonotonicNs(); }
  static void Wake(const uint32_t* word) { sys::FutexWakeAll(word); }
  static void Pause() { HostSleep::Pause(); }
  // Whether what is waited for can come while this thread runs: not where there
  // is no other processor.
  static bool CanSpin() { return HostSleep::MaxSpins() > 0; }
  static uint64_t NowNs() { return sys::MonotonicNs(); }
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_HOST_WAIT_H_
