// From a handle to mapped memory, against a bare process that passes a
// descriptor.

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "bench/segments/benchmarks.h"
#include "bench/segments/stopwatch.h"
#include "shm/sys/memory.h"
#include "shm/sys/sysv.h"

namespace shmd::bench {
namespace {

void AddAttach(const std::string& name,
               const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

sys::ScopedMmap MapReadOnly(int fd) {
  sys::MmapRequest request;
  request.fd = fd;
  request.length_bytes = kAttachedBytes;
  return Require(sys::ScopedMmap::Map(request));
}

// A segment as this program has it.
struct Mapped {
  Daemon::Grant grant;
  sys::ScopedMmap memory;
  void* sysv_memory = nullptr;
};

Mapped AttachAndMap(Daemon& daemon, const std::string& handle) {
  Mapped mapped;
  mapped.grant = daemon.Attach(handle, v1::READ);
  if (mapped.grant.attachment.has_sysv_id()) {
    mapped.sysv_memory =
        Require(sys::Shmat(mapped.grant.attachment.sysv_id(), nullptr, false));
  } else {
    mapped.memory = MapReadOnly(mapped.grant.fd.get());
  }
  return mapped;
}

void UnmapAndDetach(Daemon& daemon, Mapped mapped) {
  if (mapped.sysv_memory != nullptr) Require(sys::Shmdt(mapped.sysv_memory));
  mapped.memory = {};
  mapped.grant.fd.Reset();
  daemon.Detach(mapped.grant.attachment.attachment_id());
}

// Alone: the daemon has nothing else to do when the clock starts.
void TimeAttach(benchmark::State& state, Daemon& daemon,
                const std::string& handle) {
  Stopwatch watch(state);
  for (auto _ : state) {
    Mapped mapped;
    watch.Time([&] { mapped = AttachAndMap(daemon, handle); });
    UnmapAndDetach(daemon, std::move(mapped));
    daemon.AwaitIdle();
  }
}

// The first one, for which a memfd is made.
void TimeFirstAttach(benchmark::State& state, Daemon& daemon) {
  Stopwatch watch(state);
  for (auto _ : state) {
    const Segment made = Require(daemon.client().Create(
        daemon.NewSpec(BackendKind::kMemfd, kAttachedBytes)));
    daemon.AwaitIdle();
    Mapped mapped;
    watch.Time([&] { mapped = AttachAndMap(daemon, made.handle); });
    UnmapAndDetach(daemon, std::move(mapped));
    daemon.AwaitIdle();
    Require(daemon.client().Delete(made.name));
  }
}

// One after the other; the daemon takes in the detaches as it can.
void TimeAttachDetach(benchmark::State& state, Daemon& daemon,
                      const std::string& handle) {
  Stopwatch watch(state);
  for (auto _ : state) {
    watch.Time([&] { UnmapAndDetach(daemon, AttachAndMap(daemon, handle)); });
  }
  daemon.AwaitIdle();
}

// The same by the client library, which also verifies what it was given.
void TimeClient(benchmark::State& state, shmd::Client& client,
                const std::string& handle) {
  Stopwatch watch(state);
  for (auto _ : state) {
    watch.Time([&] { Require(client.MapReadOnly(handle)); });
  }
}

void TimePass(benchmark::State& state, Passer& passer) {
  Stopwatch watch(state);
  for (auto _ : state) {
    UniqueFd fd;
    sys::ScopedMmap memory;
    watch.Time([&] {
      fd = Require(passer.Get());
      memory = MapReadOnly(fd.get());
    });
  }
}

void TimePassAndClose(benchmark::State& state, Passer& passer) {
  Stopwatch watch(state);
  for (auto _ : state) {
    watch.Time([&] {
      const UniqueFd fd = Require(passer.Get());
      MapReadOnly(fd.get());
    });
  }
}

}  // namespace

void RegisterAttach(const Subjects& subjects) {
  Daemon& daemon = *subjects.daemon;
  for (const BackendKind backend :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kSysv,
        BackendKind::kMappedFile}) {
    const std::string label = absl::AsciiStrToLower(BackendName(backend));
    const std::string handle =
        daemon.Keep(daemon.NewSegment(backend, kAttachedBytes)).handle_string();
    AddAttach(absl::StrCat("attach/", label),
              [&daemon, handle](benchmark::State& state) {
                TimeAttach(state, daemon, handle);
              });
    AddAttach(absl::StrCat("attach_detach/", label),
              [&daemon, handle](benchmark::State& state) {
                TimeAttachDetach(state, daemon, handle);
              });
    AddAttach(absl::StrCat("client_attach_detach/", label),
              [&daemon, handle](benchmark::State& state) {
                TimeClient(state, daemon.client(), handle);
              });
  }
  AddAttach("first_attach/memfd", [&daemon](benchmark::State& state) {
    TimeFirstAttach(state, daemon);
  });
  const std::pair<const char*, Passer*> passers[] = {
      {"reopened", subjects.reopening_passer}, {"same", subjects.passer}};
  for (const auto& [label, passer] : passers) {
    AddAttach(absl::StrCat("kernel_attach/", label),
              [passer = passer](benchmark::State& state) {
                TimePass(state, *passer);
              });
    AddAttach(absl::StrCat("kernel_attach_detach/", label),
              [passer = passer](benchmark::State& state) {
                TimePassAndClose(state, *passer);
              });
  }
}

}  // namespace shmd::bench
