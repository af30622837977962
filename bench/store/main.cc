// What it costs to record a segment: one commit, the waking of the thread that
// carries it over, and the load of many. Run with
// --benchmark_enable_random_interleaving=true beside other work.

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/store/segment_records.h"

namespace shmd::bench {
namespace {

StoredSegment Sample() {
  StoredSegment stored;
  Segment& segment = stored.segment;
  segment.uid = RandomUid();
  segment.name = {"default", UidToHex(segment.uid)};
  segment.generation = uint64_t{1} << 33;
  segment.create_time = absl::Now();
  segment.options.backend = BackendKind::kPosix;
  segment.options.size_bytes = 4096;
  segment.options.page_size_bytes = 4096;
  segment.options.allocation = Allocation::kReserved;
  stored.object.backend = BackendKind::kPosix;
  stored.object.posix_name = absl::StrCat("/shmd-", UidToHex(segment.uid));
  stored.object.device = 27;
  stored.object.inode = uint64_t{1} << 62;
  return stored;
}

// A store of one benchmark, in a folder below $TMPDIR.
class Scratch {
 public:
  explicit Scratch(const Store::Options& options = {}) : options_(options) {
    std::string pattern =
        std::filesystem::temp_directory_path() / "shmd-bench-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    Open();
  }
  ~Scratch() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Close() { store_.reset(); }

  void Open() {
    auto store = Store::Open(folder_, options_);
    if (!store.ok()) {
      std::fprintf(stderr, "%s\n",
                   std::string(store.status().message()).c_str());
      std::exit(1);
    }
    store_ = *std::move(store);
  }

  Store& store() { return *store_; }

 private:
  const Store::Options options_;
  std::string folder_;
  std::unique_ptr<Store> store_;
};

void Check(benchmark::State& state, const absl::Status& status) {
  if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
}

std::unique_ptr<Scratch> shared;

// Segments of their own from each thread into one store.
void PutNew(benchmark::State& state) {
  if (state.thread_index() == 0) shared = std::make_unique<Scratch>();
  StoredSegment stored = Sample();
  uint64_t number = 0;
  for (auto _ : state) {
    // A uid that nobody has had, without the price of randomness.
    ++number;
    std::memcpy(stored.segment.uid.data(), &number, sizeof(number));
    Check(state, PutSegments(shared->store(), {stored}));
  }
  if (state.thread_index() == 0) shared.reset();
}

// A segment comes and goes.
void PutAndRemove(benchmark::State& state) {
  Scratch scratch;
  const StoredSegment stored = Sample();
  for (auto _ : state) {
    Check(state, PutSegments(scratch.store(), {stored}));
    Check(state, RemoveSegments(scratch.store(), {stored.segment.uid},
                                Durability::kDaemonDeath));
  }
}

// The encoding alone.
void Encode(benchmark::State& state) {
  const StoredSegment stored = Sample();
  for (auto _ : state) benchmark::DoNotOptimize(PutOf(stored));
}

// The first commit in a while: it wakes the thread behind it, unless (with 0)
// that is given so much time that it is still about to begin.
void PutAfterAPause(benchmark::State& state) {
  Store::Options options;
  if (state.range(0) == 0) options.write_behind = absl::Hours(1);
  Scratch scratch(options);
  const StoredSegment stored = Sample();
  Check(state, PutSegments(scratch.store(), {stored}));
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto start = std::chrono::steady_clock::now();
    Check(state, PutSegments(scratch.store(), {stored}));
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count());
  }
}

// Until it is on the disk, with a journal that is written ahead or grows (0).
void PutSynced(benchmark::State& state) {
  Store::Options options;
  if (state.range(0) == 0) options.prepared_bytes = 0;
  Scratch scratch(options);
  StoredSegment stored = Sample();
  stored.object.backend = BackendKind::kMappedFile;
  for (auto _ : state) Check(state, PutSegments(scratch.store(), {stored}));
}

// Opening a store of so many segments, and loading them.
void Load(benchmark::State& state) {
  Scratch scratch;
  for (int64_t i = 0; i < state.range(0); ++i) {
    Check(state, PutSegments(scratch.store(), {Sample()}));
  }
  for (auto _ : state) {
    state.PauseTiming();
    scratch.Close();
    state.ResumeTiming();
    scratch.Open();
    Check(state, LoadSegments(scratch.store()).status());
  }
}

BENCHMARK(Encode);
BENCHMARK(PutNew)->ThreadRange(1, 4)->UseRealTime();
BENCHMARK(PutAndRemove)->UseRealTime();
BENCHMARK(PutAfterAPause)->Arg(0)->Arg(1)->UseManualTime()->Iterations(30);
BENCHMARK(PutSynced)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(Load)->Arg(1000)->Arg(100000)->UseRealTime()->Unit(
    benchmark::kMillisecond);

}  // namespace
}  // namespace shmd::bench

BENCHMARK_MAIN();
