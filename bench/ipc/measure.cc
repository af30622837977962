#include "bench/ipc/measure.h"

#include <sys/utsname.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status_macros.h"

namespace shmd::bench {
namespace {

// Enough to fault every page in and to let a connection settle.
constexpr int kWarmUpRounds = 2;

double NowUs(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1e6 + now.tv_nsec * 1e-3;
}

absl::Status Round(Transport& transport, Payload& payload, uint64_t round) {
  payload.SetRound(round);
  ASSIGN_OR_RETURN(const uint64_t sum, transport.Send(payload));
  if (sum != payload.ExpectedSum()) {
    return absl::DataLossError(absl::StrCat(transport.name(), ", ",
                                            payload.size_bytes(),
                                            " bytes: a wrong sum came back"));
  }
  return absl::OkStatus();
}

// The rest of the first line of `path` that starts with `key`, behind a colon.
std::string ReadKey(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!absl::StartsWith(line, key)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) break;
    return std::string(
        absl::StripAsciiWhitespace(absl::string_view(line).substr(colon + 1)));
  }
  return "unknown";
}

nlohmann::json Context() {
  utsname kernel;
  uname(&kernel);
  double load[3] = {};
  getloadavg(load, 3);
  return {
      {"date",
       absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone())},
      {"num_cpus", std::thread::hardware_concurrency()},
      {"cpu_model", ReadKey("/proc/cpuinfo", "model name")},
      {"memory", ReadKey("/proc/meminfo", "MemTotal")},
      {"kernel", kernel.release},
      {"compiler", __VERSION__},
      {"load_avg", {load[0], load[1], load[2]}},
  };
}

}  // namespace

absl::StatusOr<Series> Measure(Transport& transport, size_t size_bytes,
                               const SeriesLimits& limits) {
  Payload payload(size_bytes);
  RETURN_IF_ERROR(transport.Prepare(payload));
  uint64_t round = 0;
  while (round < kWarmUpRounds) {
    RETURN_IF_ERROR(Round(transport, payload, ++round));
  }

  std::vector<double> times;
  const double cpu_start = NowUs(CLOCK_PROCESS_CPUTIME_ID);
  const double start = NowUs(CLOCK_MONOTONIC);
  for (double now = start;;) {
    RETURN_IF_ERROR(Round(transport, payload, ++round));
    const double end = NowUs(CLOCK_MONOTONIC);
    times.push_back(end - now);
    now = end;
    const int rounds = static_cast<int>(times.size());
    if (rounds >= limits.max_rounds) break;
    if (rounds >= limits.min_rounds &&
        end - start >= limits.min_seconds * 1e6) {
      break;
    }
  }

  Series series;
  series.transport = transport.name();
  series.size_bytes = size_bytes;
  series.rounds = static_cast<int>(times.size());
  series.sender_cpu_us =
      (NowUs(CLOCK_PROCESS_CPUTIME_ID) - cpu_start) / series.rounds;
  auto middle = times.begin() + times.size() / 2;
  std::nth_element(times.begin(), middle, times.end());
  series.median_us = *middle;
  return series;
}

std::string ToJson(const std::vector<Series>& series, int repetitions) {
  nlohmann::json benchmarks = nlohmann::json::array();
  for (const Series& s : series) {
    const std::string name = absl::StrCat(s.transport, "/", s.size_bytes);
    benchmarks.push_back({
        {"name", name},
        {"run_name", name},
        {"run_type", "iteration"},
        {"repetitions", repetitions},
        {"repetition_index", s.repetition},
        {"threads", 1},
        {"iterations", s.rounds},
        {"real_time", s.median_us},
        {"cpu_time", s.sender_cpu_us},
        {"time_unit", "us"},
        {"bytes_per_second", s.size_bytes / s.median_us * 1e6},
        {"transport", s.transport},
        {"size_bytes", s.size_bytes},
    });
  }
  const nlohmann::json out = {{"context", Context()},
                              {"benchmarks", benchmarks}};
  return out.dump(1) + "\n";
}

}  // namespace shmd::bench
