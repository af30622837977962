#ifndef SHMD_BENCH_SEGMENTS_STOPWATCH_H_
#define SHMD_BENCH_SEGMENTS_STOPWATCH_H_

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace shmd::bench {

// Times one part of each iteration of a benchmark that has UseManualTime();
// what is prepared and cleaned up around it does not count. The median of a
// repetition becomes the counter `p50_us`: unlike the mean it forgets the
// iterations in which another program had the CPU. `p10_us`, the fastest tenth,
// is for machines that are never quiet.
class Stopwatch {
 public:
  explicit Stopwatch(benchmark::State& state) : state_(state) {}

  // Times something else beside that, into counters of its own
  // (`kernel_p50_us`): what drifts within a run is compared by turns.
  Stopwatch(benchmark::State& state, std::string prefix)
      : state_(state), prefix_(std::move(prefix)) {}

  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  ~Stopwatch() {
    if (samples_us_.empty()) return;
    state_.counters[prefix_ + "p50_us"] = Quantile(0.5);
    state_.counters[prefix_ + "p10_us"] = Quantile(0.1);
  }

  // Runs and times `work`, once in each iteration.
  template <typename Work>
  void Time(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> taken =
        std::chrono::steady_clock::now() - start;
    if (prefix_.empty()) state_.SetIterationTime(taken.count());
    samples_us_.push_back(taken.count() * 1e6);
  }

 private:
  double Quantile(double part) {
    const auto place =
        samples_us_.begin() +
        static_cast<long>(static_cast<double>(samples_us_.size()) * part);
    std::nth_element(samples_us_.begin(), place, samples_us_.end());
    return *place;
  }

  benchmark::State& state_;
  const std::string prefix_;
  std::vector<double> samples_us_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SEGMENTS_STOPWATCH_H_
