#ifndef SHMD_BENCH_SEGMENTS_BENCHMARKS_H_
#define SHMD_BENCH_SEGMENTS_BENCHMARKS_H_

#include <string>

#include "bench/segments/daemon.h"
#include "bench/segments/passer.h"

namespace shmd::bench {

// What the benchmarks work with. Outlives them.
struct Subjects {
  Daemon* daemon = nullptr;
  Passer* reopening_passer = nullptr;
  Passer* passer = nullptr;
  std::string folder;  // for plain files; on the daemon's file system
  bool has_huge_pages = false;
};

inline constexpr uint64_t kAttachedBytes = 1 << 20;
// Of the benchmarks that move bytes.
inline constexpr uint64_t kLargeBytes = 64 << 20;

void RegisterCreate(const Subjects& subjects);
void RegisterAttach(const Subjects& subjects);
void RegisterMemory(const Subjects& subjects);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SEGMENTS_BENCHMARKS_H_
