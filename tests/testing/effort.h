#ifndef SHMD_TESTS_TESTING_EFFORT_H_
#define SHMD_TESTS_TESTING_EFFORT_H_

#include <cstdint>
#include <cstdlib>

#include "absl/base/config.h"

namespace shmd {

// How often a test that looks for faults by chance does so: `ordinary` times,
// $SHMD_TEST_EFFORT times as often for a long look (a number; 0.1 for a short
// one), and a fiftieth of it where each step is instrumented.
inline uint64_t Effort(uint64_t ordinary) {
  const char* const times = std::getenv("SHMD_TEST_EFFORT");
  double wanted = static_cast<double>(ordinary);
  if (times != nullptr) wanted *= std::strtod(times, nullptr);
#if defined(ABSL_HAVE_ADDRESS_SANITIZER) || defined(ABSL_HAVE_THREAD_SANITIZER)
  wanted /= 50;
#endif
  return static_cast<uint64_t>(wanted);
}

}  // namespace shmd

#endif  // SHMD_TESTS_TESTING_EFFORT_H_
