#ifndef SHMD_SHM_SYS_FUTEX_H_
#define SHMD_SHM_SYS_FUTEX_H_

#include <cstdint>

namespace shmd::sys {

// Sleeping on a word of memory that programs share, and waking who does.
// Both work on mappings that are read-only. Thread-safe.

// Wakes everybody who sleeps on `word`, in any program; how many there were.
int FutexWakeAll(const uint32_t* word);

// Sleeps while `*word` is `expected`, until a point of CLOCK_MONOTONIC in
// nanoseconds; kNoDeadlineNs for ever. May return true for no reason, so the
// caller looks again. False when the point has come, also where `*word` was
// something else all along, so that no loop around it is without an end.
inline constexpr uint64_t kNoDeadlineNs = UINT64_MAX;
bool FutexWaitUntil(const uint32_t* word, uint32_t expected,
                    uint64_t deadline_ns);

// Wakes at most `count`; how many there were.
int FutexWake(const uint32_t* word, int count);

uint64_t MonotonicNs();
// The same, cheaper, and some milliseconds old.
uint64_t RecentMonotonicNs();

// Changes of a word in memory that may be taken away below the mapping: the
// kernel makes them, and false instead of SIGBUS says that there is no word.
enum class FutexChange { kSetToBit, kClear, kOrBit, kAdd };

// `argument`: the number of the bit, or what to add, from -2048 to 2047.
bool FutexApply(uint32_t* word, FutexChange change, int argument);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_FUTEX_H_
