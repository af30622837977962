#ifndef SHMD_BENCH_OBJECTS_STORE_REQUIRE_H_
#define SHMD_BENCH_OBJECTS_STORE_REQUIRE_H_

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shmd::bench {

inline void Require(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  exit(1);
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

// As if somebody read what is there, and wrote all memory.
inline void Observe(const void* address) {
  asm volatile("" : : "r"(address) : "memory");
}

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_STORE_REQUIRE_H_
