// What it costs to put an object and to get it, beside memset of memory that is
// warm. bench/README.md has the method and the figures.

#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/child.h"
#include "bench/segments/passer.h"
#include "client/cpp/objects.h"
#include "shm/sys/memory.h"

namespace shmd::bench {
namespace {

constexpr size_t kBatch = 64;

template <typename T>
T Require(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  fprintf(stderr, "%s\n", value.status().ToString().c_str());
  exit(1);
}

void Require(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  exit(1);
}

// Times a part of each round.
class Stopwatch {
 public:
  explicit Stopwatch(benchmark::State* state)
      : state_(state), begin_(absl::GetCurrentTimeNanos()) {}
  ~Stopwatch() {
    state_->SetIterationTime(
        static_cast<double>(absl::GetCurrentTimeNanos() - begin_) * 1e-9);
  }

 private:
  benchmark::State* const state_;
  const int64_t begin_;
};

void SetBytes(benchmark::State& state, size_t size_bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(size_bytes));
}

// Memory of this program alone, written before. At the start of a page: `rep
// movsb` of some processors is many times slower from shortly before a place of
// a page to that place of another.
class WarmMemory {
 public:
  explicit WarmMemory(size_t size_bytes)
      : data_(static_cast<char*>(std::aligned_alloc(
            kPageSizeBytes, (size_bytes + kPageSizeBytes - 1) / kPageSizeBytes *
                                kPageSizeBytes))) {
    if (data_ == nullptr) exit(1);
    std::memset(data_, 'x', size_bytes);
  }
  WarmMemory(const WarmMemory&) = delete;
  ~WarmMemory() { std::free(data_); }

  char* data() { return data_; }

 private:
  static constexpr size_t kPageSizeBytes = 4096;

  char* const data_;
};

void Memset(benchmark::State& state) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  WarmMemory memory(size_bytes);
  int value = 0;
  for (auto _ : state) {
    std::memset(memory.data(), ++value, size_bytes);
    benchmark::ClobberMemory();
  }
  SetBytes(state, size_bytes);
}

void Memcpy(benchmark::State& state) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  WarmMemory from(size_bytes);
  WarmMemory to(size_bytes);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), size_bytes);
    benchmark::ClobberMemory();
  }
  SetBytes(state, size_bytes);
}

// Memory that was never used before is another matter.
void Warm(ObjectStore& store, size_t size_bytes) {
  const std::vector<char> data(size_bytes, 'x');
  for (int i = 0; i < 4; ++i) {
    Require(store.Put("warm", data).status());
    Require(store.Delete("warm"));
  }
}

// Copied in and published, until any reader can see it.
void Put(benchmark::State& state, ObjectStore& store) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  const std::vector<char> data(size_bytes, 'x');
  Warm(store, size_bytes);
  for (auto _ : state) {
    {
      const Stopwatch stopwatch(&state);
      Require(store.Put("put", data).status());
    }
    Require(store.Delete("put"));
  }
  SetBytes(state, size_bytes);
}

// Written in place: what memset of the same memory costs, and the seal.
void CreateFillSeal(benchmark::State& state, ObjectStore& store) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  Warm(store, size_bytes);
  int value = 0;
  for (auto _ : state) {
    {
      const Stopwatch stopwatch(&state);
      ObjectDraft draft = Require(store.Create("fill", size_bytes));
      std::memset(draft.span().data(), ++value, size_bytes);
      Require(draft.Seal().status());
    }
    Require(store.Delete("fill"));
  }
  SetBytes(state, size_bytes);
}

// More places than caches hold, taken in turn: memory is warm and caches are
// not, as for who fills objects that others keep.
constexpr int kPlaces = 128;

void MemsetInTurn(benchmark::State& state) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  WarmMemory memory(size_bytes * kPlaces);
  int round = 0;
  for (auto _ : state) {
    std::memset(memory.data() + size_bytes * (round % kPlaces), round,
                size_bytes);
    benchmark::ClobberMemory();
    ++round;
  }
  SetBytes(state, size_bytes);
}

void CreateFillSealInTurn(benchmark::State& state, ObjectStore& store) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  std::vector<std::string> ids;
  for (int i = 0; i < kPlaces; ++i) ids.push_back(absl::StrCat("turn-", i));
  const auto fill = [&](int round) {
    ObjectDraft draft = Require(store.Create(ids[round % kPlaces], size_bytes));
    std::memset(draft.span().data(), round, size_bytes);
    Require(draft.Seal().status());
  };
  for (int i = 0; i < kPlaces; ++i) fill(i);
  int round = 0;
  for (auto _ : state) {
    Require(store.Delete(ids[round % kPlaces]));
    const Stopwatch stopwatch(&state);
    fill(round++);
  }
  for (const std::string& id : ids) Require(store.Delete(id));
  SetBytes(state, size_bytes);
}

void PutBatch(benchmark::State& state, ObjectStore& store) {
  const std::string data(static_cast<size_t>(state.range(0)), 'x');
  std::vector<std::string> ids;
  for (size_t i = 0; i < kBatch; ++i) ids.push_back(absl::StrCat("batch-", i));
  std::vector<PutItem> items;
  std::vector<absl::string_view> names;
  for (const std::string& id : ids) {
    items.push_back({id, absl::MakeConstSpan(data)});
    names.push_back(id);
  }
  Warm(store, data.size() * kBatch);
  for (auto _ : state) {
    {
      const Stopwatch stopwatch(&state);
      Require(store.PutAll(items));
    }
    Require(store.DeleteAll(names));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(kBatch));
}

// Found by name, pinned, and released.
void Get(benchmark::State& state, ObjectStore& store) {
  const auto size_bytes = static_cast<size_t>(state.range(0));
  // Of one length, so that nothing but the size differs.
  const std::string id =
      absl::StrCat("get-", absl::Dec(size_bytes, absl::kZeroPad8));
  if (!store.Contains(id)) {
    Require(store.Put(id, std::vector<char>(size_bytes, 'x')).status());
  }
  Require(store.Get(id).status());
  for (auto _ : state) {
    const absl::StatusOr<PinnedObject> object = store.Get(id);
    benchmark::DoNotOptimize(object->data());
  }
}

// By several threads at once, each its own object.
void GetBeside(benchmark::State& state, ObjectStore& store) {
  const std::string id = absl::StrCat("beside-", state.thread_index());
  if (!store.Contains(id)) {
    Require(store.Put(id, std::vector<char>(64, 'x')).status());
  }
  for (auto _ : state) {
    const absl::StatusOr<PinnedObject> object = store.Get(id);
    benchmark::DoNotOptimize(object->data());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

// By a store that has used another arena, but not this one.
void FirstGet(benchmark::State& state, const ConnectOptions& connect) {
  Client clients[] = {Require(Client::Connect(connect)),
                      Require(Client::Connect(connect)),
                      Require(Client::Connect(connect))};
  ObjectStore writer = Require(ObjectStore::Open(clients[0]));
  ObjectStore other = Require(ObjectStore::Open(clients[1]));
  const std::vector<char> data(64, 'x');
  ObjectOptions replacing;
  replacing.replace_existing = true;
  Require(writer.Put("first", data, replacing).status());
  Require(other.Put("second", data, replacing).status());
  for (auto _ : state) {
    ObjectStore store = Require(ObjectStore::Open(clients[2]));
    Require(store.Get("second").status());
    const Stopwatch stopwatch(&state);
    const absl::StatusOr<PinnedObject> object = store.Get("first");
    benchmark::DoNotOptimize(object->data());
  }
}

// The least that it could be: a descriptor is asked for and mapped.
void FirstGetFloor(benchmark::State& state, Passer& passer) {
  for (auto _ : state) {
    sys::ScopedMmap mapping;
    const Stopwatch stopwatch(&state);
    const UniqueFd fd = Require(passer.Get());
    sys::MmapRequest request;
    request.fd = fd.get();
    request.length_bytes = ObjectStoreOptions().arena_bytes;
    mapping = Require(sys::ScopedMmap::Map(request));
    benchmark::DoNotOptimize(mapping.data());
  }
}

void GetAbsent(benchmark::State& state, ObjectStore& store) {
  for (auto _ : state) benchmark::DoNotOptimize(store.Contains("absent"));
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  CLI::App app("Times puts and gets of objects.");
  ConnectOptions connect;
  int cpu = -1;
  int server_cpu = -1;
  app.add_option("--socket_dir", connect.socket_dir,
                 "Of the daemon; else $SHMD_SOCKET_DIR.");
  app.add_option("--cpu", cpu, "Where to run; the daemon should be elsewhere.");
  app.add_option("--server_cpu", server_cpu,
                 "Where what passes descriptors is to run.");
  CLI11_PARSE(app, argc, argv);
  // Before there are threads.
  const std::unique_ptr<Passer> passer = Require(Passer::Start(
      Passer::Gives::kReopened, ObjectStoreOptions().arena_bytes));
  if (server_cpu >= 0) PinProcessTo(passer->pid(), server_cpu);
  Client client = Require(Client::Connect(connect));
  ObjectStore store = Require(ObjectStore::Open(client));
  if (cpu >= 0) PinTo(cpu);
  const std::vector<int64_t> sizes = {64, 4096, 65536, 1 << 20, 64 << 20};
  const auto with_store =
      [&store](void (*run)(benchmark::State&, ObjectStore&)) {
        return [run, &store](benchmark::State& state) { run(state, store); };
      };
  for (const int64_t size : sizes) {
    benchmark::RegisterBenchmark("memset", Memset)->Arg(size)->UseRealTime();
    benchmark::RegisterBenchmark("memcpy", Memcpy)->Arg(size)->UseRealTime();
    benchmark::RegisterBenchmark("put", with_store(Put))
        ->Arg(size)
        ->UseManualTime();
    benchmark::RegisterBenchmark("create_fill_seal", with_store(CreateFillSeal))
        ->Arg(size)
        ->UseManualTime();
    benchmark::RegisterBenchmark("get", with_store(Get))
        ->Arg(size)
        ->UseRealTime();
  }
  benchmark::RegisterBenchmark("memset_in_turn", MemsetInTurn)
      ->Arg(1 << 20)
      ->UseRealTime();
  benchmark::RegisterBenchmark("create_fill_seal_in_turn",
                               with_store(CreateFillSealInTurn))
      ->Arg(1 << 20)
      ->UseManualTime();
  benchmark::RegisterBenchmark("put_batch_of_64", with_store(PutBatch))
      ->Arg(64)
      ->UseManualTime();
  for (const int threads : {1, 2}) {
    benchmark::RegisterBenchmark("get_beside", with_store(GetBeside))
        ->Threads(threads)
        ->UseRealTime();
  }
  benchmark::RegisterBenchmark("first_get", [&](benchmark::State& state) {
    FirstGet(state, connect);
  })->UseManualTime();
  benchmark::RegisterBenchmark("first_get_floor", [&](benchmark::State& state) {
    FirstGetFloor(state, *passer);
  })->UseManualTime();
  benchmark::RegisterBenchmark("get_absent", with_store(GetAbsent))
      ->UseRealTime();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
