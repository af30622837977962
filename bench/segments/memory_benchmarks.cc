// The first touch of a segment's pages, and how fast warm ones are written.

#include <benchmark/benchmark.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "bench/segments/benchmarks.h"
#include "bench/segments/stopwatch.h"
#include "shm/types.h"

namespace shmd::bench {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

void AddMemory(const std::string& name,
               const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

SegmentSpec LargeSegment(uint64_t page_size_bytes) {
  SegmentSpec spec;
  spec.size_bytes = kLargeBytes;
  spec.page_size_bytes = page_size_bytes;
  return spec;
}

// Writes one byte of each base page, which is how programs meet fresh memory.
void TouchPages(char* memory) {
  for (uint64_t at = 0; at < kLargeBytes; at += 4096) memory[at] = 1;
  benchmark::ClobberMemory();
}

void TimeFirstTouch(benchmark::State& state, shmd::Client& client,
                    uint64_t page_size_bytes) {
  Stopwatch watch(state);
  for (auto _ : state) {
    SegmentSpec spec = LargeSegment(page_size_bytes);
    spec.allocation = Allocation::kLazy;
    const shmd::Segment made = Require(client.Create(spec));
    {
      WritableAttached memory = Require(client.MapWritable(made.handle));
      watch.Time([&] { TouchPages(memory.bytes().data()); });
    }
    Require(client.Delete(made.name));
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(kLargeBytes));
}

// The whole of it for fresh memory: create, map, copy, unmap.
void TimePutFresh(benchmark::State& state, shmd::Client& client,
                  uint64_t page_size_bytes, const char* source) {
  Stopwatch watch(state);
  for (auto _ : state) {
    shmd::Segment made;
    watch.Time([&] {
      made = Require(client.Create(LargeSegment(page_size_bytes)));
      WritableAttached memory = Require(client.MapWritable(made.handle));
      std::memcpy(memory.bytes().data(), source, kLargeBytes);
    });
    Require(client.Delete(made.name));
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(kLargeBytes));
}

void TimeFill(benchmark::State& state, char* memory) {
  Stopwatch watch(state);
  for (auto _ : state) {
    watch.Time([&] {
      std::memset(memory, 7, kLargeBytes);
      benchmark::ClobberMemory();
    });
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(kLargeBytes));
}

void TimeCopy(benchmark::State& state, char* memory, const char* source) {
  Stopwatch watch(state);
  for (auto _ : state) {
    watch.Time([&] {
      std::memcpy(memory, source, kLargeBytes);
      benchmark::ClobberMemory();
    });
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(kLargeBytes));
}

// Memory that was touched before and lives as long as the benchmarks.
std::shared_ptr<char[]> WarmMemory() {
  std::shared_ptr<char[]> memory(new char[kLargeBytes]);
  std::memset(memory.get(), 1, kLargeBytes);
  return memory;
}

WritableAttached WarmSegment(shmd::Client& client, uint64_t page_size_bytes) {
  SegmentSpec spec = LargeSegment(page_size_bytes);
  spec.populate = true;
  const shmd::Segment made = Require(client.Create(spec));
  AttachOptions options;
  options.populate = true;
  WritableAttached memory = Require(client.MapWritable(made.handle, options));
  // What is mapped stays.
  DeleteOptions deletion;
  deletion.force = true;
  Require(client.Delete(made.name, deletion));
  return memory;
}

void RegisterPages(shmd::Client& client, const std::string& label,
                   uint64_t page_size_bytes,
                   const std::shared_ptr<char[]>& source) {
  AddMemory("first_touch/" + label,
            [&client, page_size_bytes](benchmark::State& state) {
              TimeFirstTouch(state, client, page_size_bytes);
            });
  AddMemory("put_fresh/" + label,
            [&client, page_size_bytes, source](benchmark::State& state) {
              TimePutFresh(state, client, page_size_bytes, source.get());
            });
  AddMemory("fill_warm_segment/" + label,
            [&client, page_size_bytes](benchmark::State& state) {
              const auto segment = WarmSegment(client, page_size_bytes);
              TimeFill(state, segment.bytes().data());
            });
  AddMemory("put_warm_segment/" + label,
            [&client, page_size_bytes, source](benchmark::State& state) {
              const auto segment = WarmSegment(client, page_size_bytes);
              TimeCopy(state, segment.bytes().data(), source.get());
            });
}

}  // namespace

void RegisterMemory(const Subjects& subjects) {
  shmd::Client& client = subjects.daemon->client();
  const std::shared_ptr<char[]> source = WarmMemory();
  const std::shared_ptr<char[]> private_memory = WarmMemory();
  AddMemory("memset_warm_memory", [private_memory](benchmark::State& state) {
    TimeFill(state, private_memory.get());
  });
  AddMemory("memcpy_warm_memory",
            [private_memory, source](benchmark::State& state) {
              TimeCopy(state, private_memory.get(), source.get());
            });
  RegisterPages(client, "4KiB", 0, source);
  if (subjects.has_huge_pages) {
    RegisterPages(client, "2MiB", kHugePage, source);
  }
}

}  // namespace shmd::bench
