#ifndef SHMD_BENCH_OBJECTS_PEERS_ROUNDS_H_
#define SHMD_BENCH_OBJECTS_PEERS_ROUNDS_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

// For the peers, which ../compare compiles without Bazel and without anything
// of this repository: how bench/objects/store times, in a few lines.

namespace shmd::bench {

// The sizes of bench/objects/store.
constexpr size_t kSizes[] = {64, 4096, 65536, 1 << 20, 64 << 20};
constexpr size_t kBatch = 64;
constexpr int64_t kLongEnoughNs = 30'000'000;
constexpr int kSeries = 5;
constexpr int kWarmRounds = 4;

inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Times `run` until that was long enough, several times over; `after` is not
// timed. Prints the median of the means in nanoseconds, by which name
// ../compare knows it.
template <typename Run, typename After>
void Rounds(const char* name, size_t size_bytes, Run run, After after) {
  for (int i = 0; i < kWarmRounds; ++i) {
    run();
    after();
  }
  std::vector<double> means_ns;
  for (int i = 0; i < kSeries; ++i) {
    int64_t rounds = 0;
    int64_t total_ns = 0;
    do {
      const int64_t begin = NowNs();
      run();
      total_ns += NowNs() - begin;
      after();
      ++rounds;
    } while (total_ns < kLongEnoughNs);
    means_ns.push_back(static_cast<double>(total_ns) /
                       static_cast<double>(rounds));
  }
  std::sort(means_ns.begin(), means_ns.end());
  std::printf("%s/%zu %.1f\n", name, size_bytes, means_ns[kSeries / 2]);
  std::fflush(stdout);
}

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_PEERS_ROUNDS_H_
