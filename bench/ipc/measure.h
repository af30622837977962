#ifndef SHMD_BENCH_IPC_MEASURE_H_
#define SHMD_BENCH_IPC_MEASURE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/ipc/transport.h"

namespace shmd::bench {

// How long a series of rounds goes on: until both are reached, or the last.
struct SeriesLimits {
  int min_rounds = 5;
  int max_rounds = 5000;
  double min_seconds = 0.1;
};

// Rounds of one transport with one size, one after the other.
struct Series {
  std::string transport;
  size_t size_bytes = 0;
  int repetition = 0;
  int rounds = 0;
  double median_us = 0;      // of a round, by the clock
  double sender_cpu_us = 0;  // mean of a round, CPU time of this process
};

// Runs one series; the first rounds are left out. An error if the receiver
// answers a wrong sum.
absl::StatusOr<Series> Measure(Transport& transport, size_t size_bytes,
                               const SeriesLimits& limits);

// The series and what they ran on, as JSON of the shape of Google Benchmark's.
std::string ToJson(const std::vector<Series>& series, int repetitions);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_IPC_MEASURE_H_
