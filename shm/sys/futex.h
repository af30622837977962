#ifndef SHMD_SHM_SYS_FUTEX_H_
#define SHMD_SHM_SYS_FUTEX_H_

#include <cstdint>

#include "absl/time/time.h"

namespace shmd::sys {

// Sleeping on a word of memory that programs share, and waking who does.
// Both work on mappings that are read-only. Thread-safe.

// Sleeps while `*word` is `expected`; false when `deadline` came first. May
// return true for no reason, so the caller looks again.
bool FutexWait(const uint32_t* word, uint32_t expected, absl::Time deadline);

// Wakes everybody who sleeps on `word`, in any program; how many there were.
int FutexWakeAll(const uint32_t* word);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_FUTEX_H_
