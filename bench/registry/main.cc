// What is left of a batch when nothing is sent: the registry's part of making
// many memfd segments, beside the kernel's. No call, however it is encoded, can
// take less. bench/README.md has the figures.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "bench/child.h"
#include "bench/segments/kernel_objects.h"
#include "server/registry/segment_registry.h"

namespace shmd::bench {
namespace {

constexpr uint64_t kSizeBytes = 1 << 20;
constexpr int kRounds = 400;

[[noreturn]] void Fail(const absl::Status& why) {
  fprintf(stderr, "registry: %s\n", why.ToString().c_str());
  exit(1);
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Fail(value.status());
  return *std::move(value);
}

// A daemon's registry without the daemon.
class Registry {
 public:
  Registry() {
    std::string pattern =
        std::filesystem::temp_directory_path() / "shmd-bench-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    store_ = Must(Store::Open(folder_));
    events_ = std::make_unique<EventLog>(RandomEpoch(), 4096, Clock::Real(),
                                         store_->identity().first_generation);
    registry_ = std::make_unique<SegmentRegistry>(
        SegmentRegistry::Parts{&backends_, store_.get(), events_.get(),
                               &namespaces_, &sessions_,
                               /*descriptors=*/nullptr, Clock::Real()},
        Limits());
    caller_.uid = geteuid();
    caller_.gid = getegid();
  }
  ~Registry() {
    registry_.reset();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::vector<CreateCommand> Commands(size_t count) const {
    CreateCommand command;
    command.name_space = "default";
    command.options.size_bytes = kSizeBytes;
    command.options.page_size_bytes = BasePageSizeBytes();
    command.options.owner = caller_.uid;
    command.options.group = caller_.gid;
    return std::vector<CreateCommand>(count, command);
  }

  std::vector<SegmentView> Create(std::vector<CreateCommand> commands) {
    return Must(registry_->Create(caller_, std::move(commands)));
  }

  void Delete(const std::vector<SegmentView>& views) {
    RemoveCommand command;
    for (const SegmentView& view : views) {
      command.names.push_back(view.segment->name);
    }
    const absl::Status status = registry_->Delete(caller_, command);
    if (!status.ok()) Fail(status);
  }

 private:
  static Budget::Limits Limits() {
    Budget::Limits limits;
    limits.memory_bytes = uint64_t{1} << 40;
    limits.memory_descriptors = 100000;
    return limits;
  }

  std::string folder_;
  BackendSet backends_{BackendSettings()};
  std::unique_ptr<Store> store_;
  std::unique_ptr<EventLog> events_;
  NamespaceTable namespaces_{Namespace()};
  SessionTable sessions_{Clock::Real(), &namespaces_};
  std::unique_ptr<SegmentRegistry> registry_;
  Caller caller_;
};

template <typename Work>
double MicrosOf(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now() - start)
      .count();
}

double Quantile(std::vector<double>& samples, double part) {
  std::sort(samples.begin(), samples.end());
  return samples[static_cast<size_t>(static_cast<double>(samples.size()) *
                                     part)];
}

void Measure(Registry& registry, size_t count) {
  std::vector<double> kernel, ours;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<KernelObject> objects;
    objects.reserve(count);
    kernel.push_back(MicrosOf([&] {
      for (size_t i = 0; i < count; ++i) {
        objects.push_back(
            Must(KernelObject::Create(BackendKind::kMemfd, kSizeBytes, "")));
      }
    }));
    for (KernelObject& object : objects) object.Remove().IgnoreError();
    std::vector<CreateCommand> commands = registry.Commands(count);
    std::vector<SegmentView> views;
    ours.push_back(
        MicrosOf([&] { views = registry.Create(std::move(commands)); }));
    registry.Delete(views);
  }
  const double each = static_cast<double>(count);
  printf("| %zu | %.2f | %.2f | %.2f | %.2f |\n", count,
         Quantile(kernel, 0.5) / each, Quantile(ours, 0.5) / each,
         Quantile(ours, 0.5) / Quantile(kernel, 0.5),
         Quantile(ours, 0.1) / Quantile(kernel, 0.1));
}

}  // namespace
}  // namespace shmd::bench

// On one CPU, or with --free on all.
int main(int argc, char** argv) {
  // As the daemon does.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (argc < 2 || std::string(argv[1]) != "--free") shmd::bench::PinTo(0);
  shmd::bench::Registry registry;
  puts("| members | kernel us each | registry us each | ratio | of the p10 |");
  puts("|---:|---:|---:|---:|---:|");
  for (const size_t count : {1, 64, 900}) {
    shmd::bench::Measure(registry, count);
  }
}
