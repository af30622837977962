#include "shm/sys/futex_any.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>

#include "absl/time/clock.h"
#include "shm/sys/futex.h"

namespace shmd::sys {
namespace {

// As in <linux/futex.h> since 5.16.
struct WaitVector {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};
constexpr uint32_t kFutex32 = 2;
constexpr long kSysFutexWaitv = 449;  // of every architecture

constexpr absl::Duration kSlice = absl::Milliseconds(2);

}  // namespace

bool FutexWaitAnyInSlices(absl::Span<const FutexWord> words,
                          const Deadline& deadline) {
  const Deadline until = deadline.NoLaterThan(kSlice);
  if (words.empty()) {
    absl::SleepFor(until.Left());
    return !deadline.HasPassed();
  }
  const FutexWord& first = words.front();
  return FutexWaitUntil(first.word, first.expected, until.ns()) ||
         !deadline.HasPassed();
}

bool FutexWaitAny(absl::Span<const FutexWord> words, const Deadline& deadline) {
  static std::atomic<bool> is_absent{false};
  if (words.empty() || is_absent.load(std::memory_order_relaxed)) {
    return FutexWaitAnyInSlices(words, deadline);
  }
  uint64_t until_ns = deadline.ns();
  if (words.size() > kMaxFutexWords) {
    words = words.first(kMaxFutexWords);
    until_ns = deadline.NoLaterThan(kSlice).ns();
  }
  WaitVector vectors[kMaxFutexWords];
  for (size_t i = 0; i < words.size(); ++i) {
    vectors[i] = {words[i].expected, reinterpret_cast<uintptr_t>(words[i].word),
                  kFutex32, 0};
  }
  timespec until = {};
  until.tv_sec = static_cast<time_t>(until_ns / 1'000'000'000);
  until.tv_nsec = static_cast<long>(until_ns % 1'000'000'000);
  const long woken = syscall(kSysFutexWaitv, vectors, words.size(), 0,
                             until_ns == Deadline::kNeverNs ? nullptr : &until,
                             CLOCK_MONOTONIC);
  if (woken >= 0 || errno == EAGAIN || errno == EINTR) return true;
  if (errno == ETIMEDOUT) return !deadline.HasPassed();
  // EPERM where a filter of system calls does not know it. Anything else, as
  // ENOMEM, passes.
  if (errno == ENOSYS || errno == EPERM) {
    is_absent.store(true, std::memory_order_relaxed);
  }
  return FutexWaitAnyInSlices(words, deadline);
}

}  // namespace shmd::sys
