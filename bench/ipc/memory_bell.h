#ifndef SHMD_BENCH_IPC_MEMORY_BELL_H_
#define SHMD_BENCH_IPC_MEMORY_BELL_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shmd::bench {

// One end's words in shared memory. Its owner alone writes them; the other end
// has them mapped read-only. Fresh memory, all zeros, is a valid start.
struct BellPage {
  std::atomic<uint32_t> sequence;  // counts what was rung; the futex
  std::atomic<uint32_t> sleeping;  // 1 while the owner sleeps
  std::atomic<uint64_t> word;      // what the last ring said
};

// A bell without a socket: a word through memory each way, in strict turns. A
// waiter looks for a moment and then sleeps on a futex; no system call is made
// while both are awake. Borrows its pages. Not thread-safe.
class MemoryBell {
 public:
  MemoryBell() = default;
  MemoryBell(BellPage* mine, const BellPage* theirs)
      : mine_(mine), theirs_(theirs) {}

  void Ring(uint64_t word);

  // The other end's next word; DEADLINE_EXCEEDED when none comes in time.
  absl::StatusOr<uint64_t> Wait(absl::Duration patience);

 private:
  BellPage* mine_ = nullptr;
  const BellPage* theirs_ = nullptr;
  uint32_t heard_ = 0;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_IPC_MEMORY_BELL_H_
