#include "bench/ipc/memory_bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"

namespace shmd::bench {
namespace {

// Some microseconds: longer than an answer to a small message takes.
constexpr int kLooks = 2000;

}  // namespace

void MemoryBell::Ring(uint64_t word) {
  mine_->word.store(word, std::memory_order_relaxed);
  // Publishes `word` and what was written before it, for Wait's load. Also
  // ordered before the load of `sleeping` below, as Wait orders its store of
  // that before its last look: one of the two ends sees the other.
  mine_->sequence.fetch_add(1, std::memory_order_seq_cst);
  if (theirs_->sleeping.load(std::memory_order_seq_cst) != 0) {
    syscall(SYS_futex, &mine_->sequence, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
}

absl::StatusOr<uint64_t> MemoryBell::Wait(absl::Duration patience) {
  for (int look = 0; look < kLooks; ++look) {
    if (theirs_->sequence.load(std::memory_order_acquire) != heard_) {
      ++heard_;
      return theirs_->word.load(std::memory_order_relaxed);
    }
    __builtin_ia32_pause();
  }
  const timespec timeout = absl::ToTimespec(patience);
  mine_->sleeping.store(1, std::memory_order_seq_cst);
  int error = 0;
  while (theirs_->sequence.load(std::memory_order_seq_cst) == heard_ &&
         error != ETIMEDOUT) {
    // The kernel compares once more: a ring in between is not slept through.
    error = syscall(SYS_futex, &theirs_->sequence, FUTEX_WAIT, heard_, &timeout,
                    nullptr, 0) != 0
                ? errno
                : 0;
  }
  // Only the sleeper clears it, or a ring in between would be lost.
  mine_->sleeping.store(0, std::memory_order_relaxed);
  if (error == ETIMEDOUT) return absl::DeadlineExceededError("nobody rings");
  ++heard_;
  return theirs_->word.load(std::memory_order_relaxed);
}

}  // namespace shmd::bench
