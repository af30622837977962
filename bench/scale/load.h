#ifndef SHMD_BENCH_SCALE_LOAD_H_
#define SHMD_BENCH_SCALE_LOAD_H_

#include <string>

#include "absl/time/time.h"
#include "bench/scale/population.h"

namespace shmd::bench {

// How long control calls took, in microseconds.
struct Latencies {
  double calls_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double max_us = 0;
};

// Makes `rate` calls a second for `duration`, from two threads with a
// connection each: of five calls, three look a segment up, one changes a label,
// one creates a memfd segment or deletes it. A call that starts late because
// the one before it took long counts from when it was due.
Latencies RunLoad(const std::string& socket_dir, const Population& population,
                  int rate, absl::Duration duration);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SCALE_LOAD_H_
