// What it costs a daemon to have descriptors kept: microseconds of the caller
// for each, beside the same message into a queue that nobody reads.
//   keeper [--daemon_cpu=N] [--keeper_cpu=N] [--nap_us=N]

#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/keeper/descriptor_store.h"
#include "server/keeper/keeper.h"
#include "server/keeper/notification.h"
#include "shm/sys/memfd.h"

namespace shmd {
namespace {

constexpr int kRounds = 200;
constexpr uint64_t kPageBytes = 4096;

struct Flags {
  bool daemon = false;
  int daemon_cpu = 0;
  int keeper_cpu = 1;
  int nap_us = 2000;
};

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) std::perror("affinity");
}

std::vector<UniqueFd> Memfds(size_t count) {
  std::vector<UniqueFd> memfds;
  for (size_t i = 0; i < count; ++i) {
    memfds.push_back(sys::MemfdCreate(kPageBytes).value());
  }
  return memfds;
}

std::vector<int> Numbers(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

absl::Duration TimeOf(const std::function<void()>& work) {
  const absl::Time start = absl::Now();
  work();
  return absl::Now() - start;
}

// `timed` is run many times and tells how long it took, `after` after each.
void Report(const std::string& what, size_t descriptors,
            const std::function<absl::Duration()>& timed,
            const std::function<void()>& after) {
  std::vector<double> micros;
  for (int i = 0; i < kRounds; ++i) {
    micros.push_back(absl::ToDoubleMicroseconds(timed()) /
                     static_cast<double>(descriptors));
    after();
  }
  std::sort(micros.begin(), micros.end());
  std::printf("%-44s %8.2f %8.2f %8.2f\n", what.c_str(), micros[kRounds / 2],
              micros[kRounds * 9 / 10], micros[kRounds * 99 / 100]);
}

void MeasureBare() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  const UniqueFd sender(ends[0]);
  const UniqueFd receiver(ends[1]);
  const std::vector<UniqueFd> memfd = Memfds(1);
  std::vector<char> buffer(kMaxNotificationBytes);
  Report(
      "bare sendmsg, 1 descriptor", 1,
      [&] {
        const std::vector<OutgoingNotification> one = {
            {StoreNotification("0"), memfd[0].get()}};
        size_t sent = 0;
        bool gone = false;
        return TimeOf([&] {
          SendNotifications(sender.get(), one, absl::Seconds(1), &sent, &gone)
              .IgnoreError();
        });
      },
      [&] {
        ReceiveNotification(receiver.get(), absl::MakeSpan(buffer))
            .IgnoreError();
      });
}

void MeasureStore(DescriptorStore& store, size_t count) {
  const std::vector<UniqueFd> memfds = Memfds(count);
  const std::vector<int> numbers = Numbers(memfds);
  std::vector<std::string> names;
  const auto remove = [&] {
    store.Remove(names).IgnoreError();
    store.Barrier(absl::Seconds(10)).IgnoreError();
  };
  Report(
      absl::StrCat("Store of ", count), count,
      [&] { return TimeOf([&] { names = store.Store(numbers).value(); }); },
      remove);
}

// A store after another, as creates come, with some work between them.
void MeasureStream(DescriptorStore& store, absl::Duration work) {
  constexpr size_t kInARow = 200;
  const std::vector<UniqueFd> memfds = Memfds(kInARow);
  std::vector<std::string> names;
  const auto spin = [&] {
    const absl::Time end = absl::Now() + work;
    while (absl::Now() < end) {
    }
  };
  Report(
      absl::StrCat("Store of 1, ", kInARow, " in a row, ",
                   absl::FormatDuration(work), " of work each"),
      kInARow,
      [&] {
        absl::Duration stored = absl::ZeroDuration();
        for (const UniqueFd& memfd : memfds) {
          stored += TimeOf(
              [&] { names.push_back(store.Store({memfd.get()}).value()[0]); });
          spin();
        }
        return stored;
      },
      [&] {
        store.Remove(names).IgnoreError();
        names.clear();
        store.Barrier(absl::Seconds(10)).IgnoreError();
      });
}

int Daemon(const Flags& flags) {
  const auto listed = TakeListedDescriptors();
  if (!listed.ok()) return 1;
  PinTo(flags.daemon_cpu);
  DescriptorStore store(DescriptorStore::Settings(), *listed);
  if (!store.available()) return 1;
  std::printf("daemon on cpu %d, keeper on cpu %d, nap %d us\n",
              flags.daemon_cpu, flags.keeper_cpu, flags.nap_us);
  std::printf("%-44s %8s %8s %8s\n", "us per descriptor", "median", "p90",
              "p99");
  MeasureBare();
  for (const size_t count : {1, 8, 64, 900}) MeasureStore(store, count);
  MeasureStream(store, absl::ZeroDuration());
  MeasureStream(store, absl::Microseconds(50));
  return 0;
}

int Run(const Flags& flags, int argc, char** argv) {
  if (flags.daemon) return Daemon(flags);
  char folder[] = "/tmp/shmd-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  PinTo(flags.keeper_cpu);
  Keeper::Settings settings;
  settings.folder = folder;
  settings.nap = absl::Microseconds(flags.nap_us);
  settings.command = {"/proc/self/exe", "--daemon"};
  settings.command.insert(settings.command.end(), argv + 1, argv + argc);
  const absl::StatusOr<int> code = Keeper(settings).Run();
  rmdir(folder);
  return code.ok() ? *code : 1;
}

}  // namespace
}  // namespace shmd

int main(int argc, char** argv) {
  shmd::Flags flags;
  CLI::App app("what keeping descriptors costs", "keeper");
  app.add_flag("--daemon", flags.daemon, "Be the daemon, not its keeper");
  app.add_option("--daemon_cpu", flags.daemon_cpu, "Where the daemon runs");
  app.add_option("--keeper_cpu", flags.keeper_cpu, "Where its keeper runs");
  app.add_option("--nap_us", flags.nap_us, "See Keeper::Settings::nap");
  CLI11_PARSE(app, argc, argv);
  return shmd::Run(flags, argc, argv);
}
