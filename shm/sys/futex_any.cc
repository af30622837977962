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
                          absl::Time deadline) {
  const absl::Time until = std::min(deadline, absl::Now() + kSlice);
  if (words.empty()) {
    absl::SleepFor(until - absl::Now());
    return until < deadline;
  }
  const FutexWord& first = words.front();
  return FutexWait(first.word, first.expected, until) || until < deadline;
}

bool FutexWaitAny(absl::Span<const FutexWord> words, absl::Time deadline) {
  static std::atomic<bool> is_absent{false};
  if (words.empty() || is_absent.load(std::memory_order_relaxed)) {
    return FutexWaitAnyInSlices(words, deadline);
  }
  const absl::Time last = deadline;
  if (words.size() > kMaxFutexWords) {
    words = words.first(kMaxFutexWords);
    deadline = std::min(deadline, absl::Now() + kSlice);
  }
  WaitVector vectors[kMaxFutexWords];
  for (size_t i = 0; i < words.size(); ++i) {
    vectors[i] = {words[i].expected, reinterpret_cast<uintptr_t>(words[i].word),
                  kFutex32, 0};
  }
  timespec until = {};
  const bool for_ever = deadline == absl::InfiniteFuture();
  // The kernel refuses times before 1970.
  if (!for_ever) {
    until = absl::ToTimespec(std::max(deadline, absl::UnixEpoch()));
  }
  const long woken = syscall(kSysFutexWaitv, vectors, words.size(), 0,
                             for_ever ? nullptr : &until, CLOCK_REALTIME);
  if (woken >= 0 || errno == EAGAIN || errno == EINTR) return true;
  if (errno == ETIMEDOUT) return deadline != last;
  // EPERM where a filter of system calls does not know it. Anything else, as
  // ENOMEM, passes.
  if (errno == ENOSYS || errno == EPERM) {
    is_absent.store(true, std::memory_order_relaxed);
  }
  return FutexWaitAnyInSlices(words, last);
}

}  // namespace shmd::sys
