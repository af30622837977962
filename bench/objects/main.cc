// Looking a name up, and pinning what it names, against the bare floor.
//
//   bazel run -c opt //bench/objects:lookup
//
// The repetitions of all of them are interleaved at random, so a noisy machine
// is equally noisy to each. Prints medians and how they compare.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/objects/floor_index.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_writer.h"
#include "shm/directory/pins.h"

namespace shmd::bench {
namespace {

constexpr uint64_t kSizes[] = {100, 10000, 1000000};

void Require(const absl::Status& status) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "%s\n", status.ToString());
  std::exit(1);
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

struct Name {
  char text[32];
  uint32_t length;

  absl::string_view view() const { return absl::string_view(text, length); }
};

// The same names in an index of each kind.
class Subject {
 public:
  explicit Subject(uint64_t names)
      : names_(Names("service/segment-", names)),
        absent_(Names("nothing/segment-", names)),
        floor_(names),
        writer_(Require(DirectoryWriter::Create(DirectoryOptions()))),
        page_(std::make_unique<layout::SessionPage>()),
        pins_(page_.get()) {
    // In an order of chance, as names come: entries one behind the other would
    // be at a stride that processors learn.
    std::vector<uint64_t> order(names);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(names));
    for (const uint64_t i : order) {
      floor_.Put(names_[i].view(), i + 1);
      EntryFields fields;
      fields.generation = i + 1;
      uint32_t position = 0;
      Require(
          writer_.Publish(*NameKey::Of(names_[i].view()), fields, &position));
    }
    fd_ = Require(writer_.ReadOnlyFd());
    sys::MmapRequest request;
    request.fd = fd_.get();
    request.length_bytes = writer_.max_size_bytes();
    mapping_ = Require(sys::ScopedMmap::Map(request));
    reader_ = std::make_unique<DirectoryReader>(
        Require(DirectoryReader::Open(mapping_.data(), mapping_.size_bytes())));
    // Once, so that everything is mapped.
    for (const Name& name : names_) {
      floor_.Find(name.view());
      FindOnce(name);
    }
  }

  const std::vector<Name>& names() const { return names_; }
  const std::vector<Name>& absent() const { return absent_; }
  const FloorIndex& floor() const { return floor_; }
  uint64_t memory_bytes() const { return Require(writer_.MemoryBytes()); }

  uint64_t FindOnce(const Name& name) const {
    FoundObject found;
    const std::optional<NameKey> key = NameKey::Of(name.view());
    if (reader_->Find(*key, &found) != Lookup::kFound) return 0;
    return found.generation;
  }
  uint64_t PinOnce(const Name& name) {
    FoundObject found;
    const std::optional<NameKey> key = NameKey::Of(name.view());
    const PinResult pin = pins_.Pin(*reader_, *key, &found);
    if (pin.outcome != PinOutcome::kPinned) return 0;
    pins_.Unpin(pin.slot);
    return found.generation;
  }

 private:
  static std::vector<Name> Names(const char* prefix, uint64_t count) {
    std::vector<Name> names(count);
    for (uint64_t i = 0; i < count; ++i) {
      names[i].length = static_cast<uint32_t>(absl::SNPrintF(
          names[i].text, sizeof(names[i].text), "%s%d", prefix, i));
    }
    return names;
  }

  std::vector<Name> names_;
  std::vector<Name> absent_;
  FloorIndex floor_;
  DirectoryWriter writer_;
  std::unique_ptr<layout::SessionPage> page_;
  PinSet pins_;
  UniqueFd fd_;
  sys::ScopedMmap mapping_;
  std::unique_ptr<DirectoryReader> reader_;
};

// One name after another, far from each other; `expected` is whether each is
// to be found.
template <typename Get>
void Walk(benchmark::State& state, const std::vector<Name>& names,
          bool expected, Get get) {
  uint64_t i = static_cast<uint64_t>(state.thread_index()) * names.size() / 2;
  uint64_t hits = 0;
  for (auto _ : state) {
    i = (i + 7919) % names.size();
    const uint64_t value = get(names[i]);
    benchmark::DoNotOptimize(value);
    hits += value != 0;
  }
  if (hits != (expected ? static_cast<uint64_t>(state.iterations()) : 0)) {
    state.SkipWithError("found what is not there, or the reverse");
  }
}

using Run = std::function<void(benchmark::State&)>;

void Register(const std::string& name, int threads, const Run& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->Threads(threads);
}

void RegisterAll(uint64_t names, Subject& subject) {
  const Run floor_hit = [&](benchmark::State& state) {
    Walk(state, subject.names(), true,
         [&](const Name& name) { return subject.floor().Find(name.view()); });
  };
  const Run floor_miss = [&](benchmark::State& state) {
    Walk(state, subject.absent(), false,
         [&](const Name& name) { return subject.floor().Find(name.view()); });
  };
  const Run hit = [&](benchmark::State& state) {
    Walk(state, subject.names(), true,
         [&](const Name& name) { return subject.FindOnce(name); });
  };
  const Run miss = [&](benchmark::State& state) {
    Walk(state, subject.absent(), false,
         [&](const Name& name) { return subject.FindOnce(name); });
  };
  const Run pin = [&](benchmark::State& state) {
    Walk(state, subject.names(), true,
         [&](const Name& name) { return subject.PinOnce(name); });
  };
  for (const int threads : {1, 2}) {
    const auto name = [&](const char* what) {
      return absl::StrCat(what, "/", names, "/", threads);
    };
    Register(name("floor_find"), threads, floor_hit);
    Register(name("floor_miss"), threads, floor_miss);
    Register(name("find"), threads, hit);
    Register(name("miss"), threads, miss);
    Register(name("pin_unpin"), threads, pin);
  }
}

// Prints as usual, and keeps the medians.
class MedianReporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(
      const std::vector<benchmark::BenchmarkReporter::Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const auto& run : runs) {
      if (run.aggregate_name != "median") continue;
      // "find/100/2/real_time/threads:2"
      const std::string name = run.run_name.function_name;
      // Of the processor, so that other programs that run count less.
      medians_[name] = run.GetAdjustedCPUTime();
    }
  }

  double of(const std::string& what, uint64_t names, int threads) const {
    const auto found =
        medians_.find(absl::StrCat(what, "/", names, "/", threads));
    return found == medians_.end() ? 0 : found->second;
  }

 private:
  std::map<std::string, double> medians_;
};

void PrintTable(const MedianReporter& medians) {
  absl::PrintF("\n%10s %7s | %9s | %9s %5s | %9s %5s | %9s | %9s %5s\n",
               "names", "threads", "floor", "find", "x", "pin+unpin", "x",
               "floor", "miss", "x");
  for (const uint64_t names : kSizes) {
    for (const int threads : {1, 2}) {
      const double floor = medians.of("floor_find", names, threads);
      const double floor_miss = medians.of("floor_miss", names, threads);
      const double find = medians.of("find", names, threads);
      const double pin = medians.of("pin_unpin", names, threads);
      const double miss = medians.of("miss", names, threads);
      absl::PrintF(
          "%10d %7d | %6.1f ns | %6.1f ns %5.2f | %6.1f ns %5.2f | %6.1f ns |"
          " %6.1f ns %5.2f\n",
          names, threads, floor, find, find / floor, pin, pin / floor,
          floor_miss, miss, miss / floor_miss);
    }
  }
}

int Main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  std::string repetitions = "--benchmark_repetitions=15";
  std::string interleaved = "--benchmark_enable_random_interleaving=true";
  std::string aggregates = "--benchmark_report_aggregates_only=true";
  // Defaults; what is said on the command line comes later.
  arguments.insert(arguments.begin() + 1,
                   {repetitions.data(), interleaved.data(), aggregates.data()});
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const uint64_t names : kSizes) {
    subjects.push_back(std::make_unique<Subject>(names));
    RegisterAll(names, *subjects.back());
    absl::PrintF("%d names: %.1f bytes of shared memory each\n", names,
                 static_cast<double>(subjects.back()->memory_bytes()) /
                     static_cast<double>(names));
  }
  MedianReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  PrintTable(reporter);
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
