// How the daemon bears many segments and sessions. bench/README.md has the
// method and figures.

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "bench/scale/load.h"
#include "bench/scale/population.h"

namespace shmd::bench {
namespace {

double ResidentMiB(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string word;
  while (status >> word) {
    double kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib / 1024;
  }
  return 0;
}

size_t CountDescriptors(pid_t pid) {
  DIR* const folder = opendir(absl::StrCat("/proc/", pid, "/fd").c_str());
  if (folder == nullptr) return 0;
  size_t count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count - 2;  // "." and ".."
}

struct Options {
  std::string socket_dir;
  std::vector<size_t> levels = {1000, 10000, 100000};
  int rate = 2000;
  double seconds = 5;
};

void PrintLevel(const Options& options, Population& population,
                size_t segments) {
  const size_t before = population.segments();
  const absl::Time start = absl::Now();
  population.GrowTo(segments, segments / 25);
  const double growth = absl::ToDoubleSeconds(absl::Now() - start);
  const Latencies latencies =
      RunLoad(options.socket_dir, population, options.rate,
              absl::Seconds(options.seconds));
  const pid_t pid = population.DaemonPid();
  const double mib = ResidentMiB(pid);
  const size_t descriptors = CountDescriptors(pid);
  const size_t sessions = population.sessions();
  const double restart = absl::ToDoubleMilliseconds(population.Restart());
  printf(
      "| %zu | %zu | %.0f | %.0f | %.2f | %.2f | %.1f | %.0f | %zu | %.0f "
      "|\n",
      segments, sessions, static_cast<double>(segments - before) / growth,
      latencies.calls_per_second, latencies.p50_us / 1000,
      latencies.p99_us / 1000, latencies.max_us / 1000, mib, descriptors,
      restart);
  fflush(stdout);
}

int Main(int argc, char** argv) {
  Options options;
  const char* const from_environment = getenv("SHMD_SOCKET_DIR");
  if (from_environment != nullptr) options.socket_dir = from_environment;
  CLI::App app("Loads a daemon with segments and sessions; kills it, too.");
  app.add_option("--socket_dir", options.socket_dir,
                 "Of the daemon, which has a keeper; else $SHMD_SOCKET_DIR.");
  app.add_option("--segments", options.levels, "How many, one after another.");
  app.add_option("--rate", options.rate, "Control calls a second.");
  app.add_option("--seconds", options.seconds, "Of each load.");
  CLI11_PARSE(app, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  Population population(options.socket_dir);
  puts(
      "| segments | sessions | creates/s | calls/s | p50 ms | p99 ms | max ms "
      "| RSS MiB | descriptors | restart ms |");
  puts("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
  for (const size_t level : options.levels) {
    PrintLevel(options, population, level);
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
