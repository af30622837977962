// How long after a program was killed its segments are gone. bench/README.md
// has the method and figures.

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/unique_fd.h"
#include "client/cpp/client.h"

namespace shmd::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr double kTargetMs = 10;
constexpr int kLongestMs = 30000;

struct Options {
  int repetitions = 200;
  std::vector<int> segments = {1, 100};
  uint64_t size_bytes = 65536;
  std::string victim;  // the prefix of its names: this process is one
};

[[noreturn]] void Fail(absl::string_view why) {
  fprintf(stderr, "reclaim: %s\n", std::string(why).c_str());
  exit(1);
}

// Holds segments that end with its session, until it is killed.
int RunVictim(const Options& options) {
  absl::StatusOr<Client> client = Client::Connect();
  if (!client.ok()) Fail(client.status().message());
  std::vector<WritableAttached> held;
  for (int i = 0; i < options.segments.front(); ++i) {
    SegmentSpec spec;
    spec.size_bytes = options.size_bytes;
    spec.backend = BackendKind::kPosix;
    spec.posix_name = absl::StrCat("/", options.victim, i);
    spec.lifetime = Lifetime::kSession;
    const absl::StatusOr<Segment> made = client->Create(spec);
    if (!made.ok()) Fail(made.status().message());
    absl::StatusOr<WritableAttached> attached =
        client->MapWritable(made->handle);
    if (!attached.ok()) Fail(attached.status().message());
    held.push_back(*std::move(attached));
  }
  if (write(STDOUT_FILENO, "x", 1) != 1) return 1;
  for (;;) pause();
}

// Returns when the victim has its segments.
pid_t StartVictim(const std::string& prefix, int segments,
                  uint64_t size_bytes) {
  int ends[2];
  if (pipe(ends) != 0) Fail("pipe");
  const std::string victim = absl::StrCat("--victim=", prefix);
  const std::string count = absl::StrCat("--segments=", segments);
  const std::string size = absl::StrCat("--size=", size_bytes);
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl("/proc/self/exe", "reclaim", victim.c_str(), count.c_str(),
          size.c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  char ready = 0;
  const ssize_t got = read(ends[0], &ready, 1);
  close(ends[0]);
  if (pid < 0 || got != 1) Fail("no program to kill");
  return pid;
}

// How many names of `prefix` the kernel says were removed, in events that wait.
int CountRemovals(int inotify, const std::string& prefix) {
  alignas(inotify_event) char buffer[16384];
  const ssize_t size = read(inotify, buffer, sizeof(buffer));
  int count = 0;
  for (ssize_t at = 0; at < size;) {
    const auto* const event =
        reinterpret_cast<const inotify_event*>(buffer + at);
    if ((event->mask & IN_Q_OVERFLOW) != 0) Fail("too many events");
    if (event->len > 0 && absl::StartsWith(event->name, prefix)) ++count;
    at += static_cast<ssize_t>(sizeof(*event) + event->len);
  }
  return count;
}

struct Times {
  double first_ms = 0;  // until the first segment was gone
  double all_ms = 0;    // until all were
};

Times KillOne(const std::string& prefix, int segments, uint64_t size_bytes) {
  const pid_t victim = StartVictim(prefix, segments, size_bytes);
  const UniqueFd inotify(inotify_init1(IN_CLOEXEC));
  if (inotify_add_watch(inotify.get(), "/dev/shm", IN_DELETE) < 0) {
    Fail("cannot watch /dev/shm");
  }
  const auto start = SteadyClock::now();
  kill(victim, SIGKILL);
  Times times;
  for (int gone = 0; gone < segments;) {
    pollfd ready = {inotify.get(), POLLIN, 0};
    if (poll(&ready, 1, kLongestMs) != 1) Fail("the segments stay");
    const int more = CountRemovals(inotify.get(), prefix);
    const std::chrono::duration<double, std::milli> taken =
        SteadyClock::now() - start;
    if (gone == 0 && more > 0) times.first_ms = taken.count();
    gone += more;
    times.all_ms = taken.count();
  }
  waitpid(victim, nullptr, 0);
  return times;
}

std::string Summary(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  return absl::StrFormat("%.2f | %.2f | %.2f", ms[ms.size() / 2],
                         ms[ms.size() * 99 / 100], ms.back());
}

void PrintRow(const Options& options, int segments) {
  std::vector<double> first;
  std::vector<double> all;
  for (int i = 0; i < options.repetitions; ++i) {
    const std::string prefix =
        absl::StrCat("shmd-reclaim-", getpid(), "-", segments, "-", i, "-");
    const Times times = KillOne(prefix, segments, options.size_bytes);
    first.push_back(times.first_ms);
    all.push_back(times.all_ms);
  }
  const auto late =
      std::count_if(first.begin(), first.end(),
                    [](double one_ms) { return one_ms > kTargetMs; });
  printf("| %d | %s | %s | %d of %d |\n", segments, Summary(first).c_str(),
         Summary(all).c_str(), static_cast<int>(late), options.repetitions);
  fflush(stdout);
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Kills programs, and waits until their segments are gone.");
  app.add_option("--repetitions", options.repetitions, "Of each row.")
      ->check(CLI::Range(1, INT_MAX));
  app.add_option("--segments", options.segments, "How many each program has.");
  app.add_option("--size", options.size_bytes, "Of each segment, in bytes.");
  app.add_option("--victim", options.victim)->group("");
  CLI11_PARSE(app, argc, argv);
  if (!options.victim.empty()) return RunVictim(options);
  puts(
      "| segments | first gone: median ms | p99 | max | all gone: median ms | "
      "p99 | max | first later than 10 ms |");
  puts("|---:|---:|---:|---:|---:|---:|---:|---:|");
  for (const int segments : options.segments) PrintRow(options, segments);
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
