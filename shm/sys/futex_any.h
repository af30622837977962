#ifndef SHMD_SHM_SYS_FUTEX_ANY_H_
#define SHMD_SHM_SYS_FUTEX_ANY_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "base/deadline.h"

namespace shmd::sys {

// Sleeping on several words at once (futex_waitv(2), Linux 5.16).

struct FutexWord {
  const uint32_t* word = nullptr;
  uint32_t expected = 0;
};

inline constexpr size_t kMaxFutexWords = 128;

// Sleeps while each word is as expected; false when `deadline` came first. May
// return true for no reason, so the caller looks again. Works on mappings that
// are read-only. Of more than kMaxFutexWords, and where the kernel has no such
// call, it sleeps on the first ones and returns after some milliseconds.
// Thread-safe.
bool FutexWaitAny(absl::Span<const FutexWord> words, const Deadline& deadline);

// The same without that call.
bool FutexWaitAnyInSlices(absl::Span<const FutexWord> words,
                          const Deadline& deadline);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_FUTEX_ANY_H_
