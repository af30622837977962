// Moves the same payload from one process to another in every way that Linux
// and gRPC offer, and by a segment. bench/README.md has the method and figures.

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "bench/child.h"
#include "bench/ipc/measure.h"
#include "bench/ipc/transport.h"

namespace shmd::bench {
namespace {

struct Options {
  int repetitions = 5;
  // 40000 bytes are 10,000 ints.
  std::vector<size_t> sizes = {64,      4096,     40000,   65536,
                               1 << 20, 16 << 20, 64 << 20};
  SeriesLimits limits;
  std::string socket_dir;
  std::string out;
};

absl::Status Run(const Options& options, const std::string& folder) {
  TransportSettings settings;
  settings.max_payload_bytes =
      *std::max_element(options.sizes.begin(), options.sizes.end());
  settings.folder = folder;
  settings.socket_dir = options.socket_dir;
  const auto transports = MakeTransports(settings);

  // All receivers are there before the first gRPC call, which no fork may
  // follow.
  std::vector<Child> receivers;
  for (const auto& transport : transports) {
    RETURN_IF_ERROR(transport->Open());
    ASSIGN_OR_RETURN(Child receiver,
                     Child::Start("receiver of " + transport->name(), [&] {
                       PinTo(1);
                       return transport->Receive();
                     }));
    receivers.push_back(std::move(receiver));
  }
  PinTo(0);
  for (const auto& transport : transports) {
    RETURN_IF_ERROR(transport->Connect());
  }

  // Transports take turns within each repetition, so that a phase in which
  // the machine is slow falls on all of them.
  std::vector<Series> all;
  for (int repetition = 0; repetition < options.repetitions; ++repetition) {
    for (const size_t size_bytes : options.sizes) {
      for (const auto& transport : transports) {
        ASSIGN_OR_RETURN(Series series,
                         Measure(*transport, size_bytes, options.limits));
        series.repetition = repetition;
        all.push_back(series);
      }
    }
    std::cerr << "repetition " << repetition + 1 << " of "
              << options.repetitions << "\n";
  }
  std::ofstream(options.out) << ToJson(all, options.repetitions);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Moves a payload between two processes in every way there is.");
  app.add_option("--repetitions", options.repetitions, "Series of each kind.")
      ->check(CLI::PositiveNumber);
  app.add_option("--sizes", options.sizes, "Payloads in bytes, times of 8.")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--min_seconds", options.limits.min_seconds,
                 "The least time of a series.");
  app.add_option("--socket_dir", options.socket_dir,
                 "Of the daemon; else $SHMD_SOCKET_DIR.");
  app.add_option("--out", options.out, "The JSON file to write.")->required();
  CLI11_PARSE(app, argc, argv);

  // A receiver that ended shows as an error of a write.
  signal(SIGPIPE, SIG_IGN);
  const char* parent = getenv("TMPDIR");
  std::string folder = parent != nullptr ? parent : "/tmp";
  folder += "/shmd-bench-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    perror("mkdtemp");
    return 1;
  }
  const absl::Status status = Run(options, folder);
  unlink((folder + "/payload.sock").c_str());
  rmdir(folder.c_str());
  if (!status.ok()) {
    std::cerr << "ipc: " << status << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
