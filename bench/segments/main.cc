// What a create and an attach cost beside a gRPC call that does nothing and
// beside the kernel's own work. bench/README.md has the method and figures.

#include <benchmark/benchmark.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "bench/child.h"
#include "bench/segments/benchmarks.h"

namespace shmd::bench {
namespace {

constexpr char kHugePages[] =
    "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
// Two segments of kLargeBytes at a time: a warm one and a fresh one.
constexpr int kWantedHugePages = 2 * (kLargeBytes >> 21);

// Enough huge pages for as long as this lives, where root may say so.
class HugePagePool {
 public:
  HugePagePool() {
    std::ifstream(kHugePages) >> before_;
    std::ofstream(kHugePages) << before_ + kWantedHugePages;
    int now = 0;
    std::ifstream(kHugePages) >> now;
    is_enough_ = now >= before_ + kWantedHugePages;
  }
  ~HugePagePool() { std::ofstream(kHugePages) << before_; }

  HugePagePool(const HugePagePool&) = delete;
  HugePagePool& operator=(const HugePagePool&) = delete;

  bool is_enough() const { return is_enough_; }

 private:
  int before_ = 0;
  bool is_enough_ = false;
};

struct Options {
  std::string socket_dir;
  std::string placement = "free";
};

// Where the other side of each exchange runs; this process has CPU 0.
void Place(const std::string& placement, pid_t pid) {
  if (placement == "free") return;
  if (!PinProcessTo(pid, placement == "same" ? 0 : 1)) {
    fprintf(stderr, "segments: process %d stays where it is\n", pid);
  }
}

int Main(int argc, char** argv) {
  // Takes its own flags out.
  benchmark::Initialize(&argc, argv);
  Options options;
  const char* const from_environment = getenv("SHMD_SOCKET_DIR");
  if (from_environment != nullptr) options.socket_dir = from_environment;
  CLI::App app("Times creates and attaches beside what they are made of.");
  app.add_option("--socket_dir", options.socket_dir,
                 "Of the daemon; else $SHMD_SOCKET_DIR.");
  app.add_option("--placement", options.placement,
                 "The daemon on the `same` CPU, on `different` ones, or "
                 "`free`.")
      ->check(CLI::IsMember({"same", "different", "free"}));
  CLI11_PARSE(app, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  benchmark::AddCustomContext("placement", options.placement);

  // These fork, which no gRPC call may precede.
  const auto reopening =
      Require(Passer::Start(Passer::Gives::kReopened, kAttachedBytes));
  const auto same =
      Require(Passer::Start(Passer::Gives::kSame, kAttachedBytes));
  if (options.placement != "free") PinTo(0);
  const HugePagePool pool;
  const auto daemon = Require(Daemon::Connect(options.socket_dir));
  Place(options.placement, reopening->pid());
  Place(options.placement, same->pid());

  Subjects subjects;
  subjects.daemon = daemon.get();
  subjects.reopening_passer = reopening.get();
  subjects.passer = same.get();
  subjects.folder = options.socket_dir + "/files";
  subjects.has_huge_pages = pool.is_enough();
  RegisterCreate(subjects);
  RegisterAttach(subjects);
  RegisterMemory(subjects);
  // All the threads that it needs are there by now.
  Place(options.placement, daemon->pid());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::ClearRegisteredBenchmarks();
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
