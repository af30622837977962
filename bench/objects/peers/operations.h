#ifndef SHMD_BENCH_OBJECTS_PEERS_OPERATIONS_H_
#define SHMD_BENCH_OBJECTS_PEERS_OPERATIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <utility>

// How all programs of this benchmark time: short series of one operation at a
// time, so that whoever drives them can take turns between those that are to be
// compared. Without anything of this repository, for the peers, which
// ../compare compiles without Bazel.

namespace shmd::bench {

constexpr size_t kSizes[] = {64, 4096, 65536, 1 << 20, 64 << 20};
constexpr size_t kBatch = 64;

inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Runs an operation so many times, and returns how many nanoseconds that took.
using Timer = std::function<int64_t(int64_t runs)>;

// All runs between two looks at the clock.
template <typename Run>
Timer Timed(Run run) {
  return [run](int64_t runs) mutable {
    const int64_t begin = NowNs();
    for (int64_t i = 0; i < runs; ++i) run();
    return NowNs() - begin;
  };
}

// Each run by itself, and after it what is not timed.
template <typename Run, typename After>
Timer Timed(Run run, After after) {
  return [run, after](int64_t runs) mutable {
    int64_t total_ns = 0;
    for (int64_t i = 0; i < runs; ++i) {
      const int64_t begin = NowNs();
      run();
      total_ns += NowNs() - begin;
      after();
    }
    return total_ns;
  };
}

// The mean of one run in a series of some milliseconds. What runs first does
// not count: it finds caches that another operation has used, and servers
// asleep.
inline double MeanNs(const Timer& timer) {
  constexpr int64_t kWarmNs = 400'000;
  constexpr int64_t kSeriesNs = 3'000'000;
  int64_t runs = 1;
  while (timer(runs) < kWarmNs) runs *= 2;
  int64_t done = 0;
  int64_t total_ns = 0;
  while (total_ns < kSeriesNs) {
    total_ns += timer(runs);
    done += runs;
  }
  return static_cast<double>(total_ns) / static_cast<double>(done);
}

class Operations {
 public:
  // `prepare` is called before the first series. `name` is what ../compare
  // knows it by.
  void Add(const std::string& name, std::function<Timer()> prepare) {
    all_[name].prepare = std::move(prepare);
  }
  void Add(const std::string& name, size_t size_bytes,
           std::function<Timer()> prepare) {
    Add(name + "/" + std::to_string(size_bytes), std::move(prepare));
  }

  // Says which there are, one a line, and then an empty line. From then on,
  // for each line that names one, runs a series and says how many nanoseconds
  // a run took, until there is no more to read. False for a name that there is
  // not.
  bool Serve() {
    for (const auto& [name, operation] : all_) std::cout << name << "\n";
    std::cout << std::endl;
    for (std::string name; std::getline(std::cin, name);) {
      const auto found = all_.find(name);
      if (found == all_.end()) return false;
      Operation& operation = found->second;
      if (!operation.timer) operation.timer = operation.prepare();
      std::cout << MeanNs(operation.timer) << std::endl;
    }
    return true;
  }

 private:
  struct Operation {
    std::function<Timer()> prepare;
    Timer timer;
  };

  std::map<std::string, Operation> all_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_PEERS_OPERATIONS_H_
