// RPCs that do nothing, creates and deletes alone and in batches, and the
// kernel's part of each.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <google/protobuf/arena.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "bench/child.h"
#include "bench/segments/benchmarks.h"
#include "bench/segments/kernel_objects.h"
#include "bench/segments/stopwatch.h"
#include "shm/handle.h"
#include "shm/types.h"

namespace shmd::bench {
namespace {

constexpr uint64_t kPage = 4096;
// What the daemon writes of a mapped file, with the intent before it.
constexpr size_t kRecordBytes = 390;

void AddCreate(const std::string& name,
               const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

using Call = std::function<void()>;

// Times one RPC after another.
void TimeCall(benchmark::State& state, const Call& call) {
  Stopwatch watch(state);
  for (auto _ : state) watch.Time(call);
}

// The RPC taken for "no operation": a write of no bytes. The service decodes
// it, finds the caller and the segment, checks the mode, and encodes an empty
// reply; it does not ask the kernel for anything.
Call WriteNothing(Daemon& daemon, const std::string& name) {
  return [&daemon, name] {
    grpc::ClientContext context;
    v1::WriteSegmentRequest request;
    request.set_name(name);
    google::protobuf::Empty reply;
    Require(daemon.segments().WriteSegment(&context, request, &reply));
  };
}

Call DeleteAbsent(Daemon& daemon) {
  return [&daemon] {
    grpc::ClientContext context;
    v1::DeleteSegmentRequest request;
    request.set_name("namespaces/default/segments/absent");
    google::protobuf::Empty reply;
    daemon.segments().DeleteSegment(&context, request, &reply);
  };
}

Call CreateHandle(Daemon& daemon, const std::string& name) {
  return [&daemon, name] {
    grpc::ClientContext context;
    v1::CreateHandleRequest request;
    request.set_name(name);
    request.set_access(v1::READ);
    v1::CreateHandleResponse reply;
    Require(daemon.segments().CreateHandle(&context, request, &reply));
  };
}

Call GetBasic(Daemon& daemon, const std::string& name) {
  return [&daemon, name] {
    grpc::ClientContext context;
    v1::GetSegmentRequest request;
    request.set_name(name);
    request.set_view(v1::BASIC);
    v1::Segment reply;
    Require(daemon.segments().GetSegment(&context, request, &reply));
  };
}

struct Kind {
  BackendKind backend;
  uint64_t size_bytes;
  std::string folder;  // for plain files; on the daemon's file system

  std::string name() const {
    return absl::StrCat(absl::AsciiStrToLower(BackendName(backend)), "/",
                        size_bytes);
  }
};

KernelObject MakeKernelObject(const Kind& kind) {
  return Require(
      KernelObject::Create(kind.backend, kind.size_bytes, kind.folder));
}

// The kernel's part of what waits for the storage, by turns with the whole:
// the storage is half as fast again in one second as in another. Done where the
// daemon does it.
class KernelBeside {
 public:
  KernelBeside(benchmark::State& state, const Daemon& daemon, const Kind& kind)
      : watch_(state, "kernel_"), pid_(daemon.pid()), kind_(kind) {}

  void TimeCreate() { Time(/*create=*/true); }
  void TimeDelete() { Time(/*create=*/false); }

 private:
  void Time(bool create) {
    if (kind_.backend != BackendKind::kMappedFile) return;
    const OnCpusOf there(pid_);
    KernelObject object;
    const auto make = [&] { object = MakeKernelObject(kind_); };
    const auto remove = [&] { Require(object.Remove()); };
    if (create) {
      watch_.Time(make);
      remove();
    } else {
      make();
      watch_.Time(remove);
    }
  }

  Stopwatch watch_;
  const pid_t pid_;
  const Kind kind_;
};

void TimeCreate(benchmark::State& state, Daemon& daemon, const Kind& kind,
                v1::SegmentView view) {
  Stopwatch watch(state);
  KernelBeside kernel(state, daemon, kind);
  for (auto _ : state) {
    v1::CreateSegmentRequest request =
        daemon.NewSegment(kind.backend, kind.size_bytes);
    request.set_view(view);
    v1::Segment made;
    watch.Time([&] { made = daemon.Create(request); });
    daemon.Delete(made.name());
    kernel.TimeCreate();
  }
}

// The same by the client library, which asks on the attach socket.
void TimeClientCreate(benchmark::State& state, Daemon& daemon,
                      const Kind& kind) {
  Stopwatch watch(state);
  KernelBeside kernel(state, daemon, kind);
  for (auto _ : state) {
    const SegmentSpec spec = daemon.NewSpec(kind.backend, kind.size_bytes);
    Segment made;
    watch.Time([&] { made = Require(daemon.client().Create(spec)); });
    Require(daemon.client().Delete(made.name));
    kernel.TimeCreate();
  }
}

void TimeClientDelete(benchmark::State& state, Daemon& daemon,
                      const Kind& kind) {
  Stopwatch watch(state);
  KernelBeside kernel(state, daemon, kind);
  for (auto _ : state) {
    const Segment made = Require(
        daemon.client().Create(daemon.NewSpec(kind.backend, kind.size_bytes)));
    watch.Time([&] { Require(daemon.client().Delete(made.name)); });
    kernel.TimeDelete();
  }
}

void TimeDelete(benchmark::State& state, Daemon& daemon, const Kind& kind) {
  Stopwatch watch(state);
  KernelBeside kernel(state, daemon, kind);
  for (auto _ : state) {
    const v1::Segment made =
        daemon.Create(daemon.NewSegment(kind.backend, kind.size_bytes));
    watch.Time([&] { daemon.Delete(made.name()); });
    kernel.TimeDelete();
  }
}

void TimeCreateDelete(benchmark::State& state, Daemon& daemon,
                      const Kind& kind) {
  Stopwatch watch(state);
  for (auto _ : state) {
    const v1::CreateSegmentRequest request =
        daemon.NewSegment(kind.backend, kind.size_bytes);
    watch.Time([&] { daemon.Delete(daemon.Create(request).name()); });
  }
}

// And what a program does behind it, if anything.
void TimeKernelCreate(
    benchmark::State& state, const Kind& kind,
    const std::function<void()>& do_more = [] {}) {
  Stopwatch watch(state);
  for (auto _ : state) {
    KernelObject object;
    watch.Time([&] {
      object = MakeKernelObject(kind);
      do_more();
    });
    Require(object.Remove());
  }
}

// The same by a program that must find its files again after a power loss, and
// so flushes a record of each as well.
void TimeKernelRecorded(benchmark::State& state, const Kind& kind) {
  const std::string path = kind.folder + "/bench-record";
  const UniqueFd record(
      open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const std::string bytes(kRecordBytes, 'r');
  TimeKernelCreate(state, kind, [&] {
    if (write(record.get(), bytes.data(), bytes.size()) < 0 ||
        fdatasync(record.get()) != 0) {
      Require(ErrnoStatus(errno, "a record"));
    }
  });
  unlink(path.c_str());
}

void TimeKernelDelete(benchmark::State& state, const Kind& kind) {
  Stopwatch watch(state);
  for (auto _ : state) {
    KernelObject object = MakeKernelObject(kind);
    watch.Time([&] { Require(object.Remove()); });
  }
}

// The same call when neither program has just made it: between a create and a
// delete, as creates are.
void TimeCallAmid(benchmark::State& state, Daemon& daemon, const Call& call) {
  Stopwatch watch(state);
  for (auto _ : state) {
    const v1::Segment made =
        daemon.Create(daemon.NewSegment(BackendKind::kMemfd, kPage));
    watch.Time(call);
    daemon.Delete(made.name());
  }
}

// How many segments at a time, and how much the reply has of them.
struct Batch {
  Kind kind;
  int count;
  v1::SegmentView view;

  std::string name() const {
    return absl::StrCat(view == v1::IDENTITY ? "memfd_identity/" : "memfd/",
                        count);
  }
};

v1::BatchCreateSegmentsRequest NewBatch(Daemon& daemon, const Batch& batch) {
  v1::BatchCreateSegmentsRequest request;
  request.set_parent("namespaces/default");
  request.set_view(batch.view);
  for (int i = 0; i < batch.count; ++i) {
    v1::CreateSegmentRequest& member = *request.add_requests();
    member = daemon.NewSegment(batch.kind.backend, batch.kind.size_bytes);
    // That of the batch, said once.
    member.clear_parent();
  }
  return request;
}

void CreateBatch(Daemon& daemon, const v1::BatchCreateSegmentsRequest& request,
                 v1::BatchCreateSegmentsResponse* made) {
  grpc::ClientContext context;
  Require(daemon.segments().BatchCreateSegments(&context, request, made));
}

v1::BatchDeleteSegmentsRequest DeletionOf(
    const v1::BatchCreateSegmentsResponse& made) {
  v1::BatchDeleteSegmentsRequest request;
  request.set_parent("namespaces/default");
  for (const v1::Segment& segment : made.segments()) {
    request.add_names(segment.name());
  }
  return request;
}

void DeleteBatch(Daemon& daemon, const v1::BatchDeleteSegmentsRequest& batch) {
  grpc::ClientContext context;
  google::protobuf::Empty reply;
  Require(daemon.segments().BatchDeleteSegments(&context, batch, &reply));
}

// Times the creation of batches, or their deletion.
void TimeBatch(benchmark::State& state, Daemon& daemon, const Batch& batch,
               bool time_removal) {
  Stopwatch watch(state);
  for (auto _ : state) {
    const v1::BatchCreateSegmentsRequest request = NewBatch(daemon, batch);
    // The reply on an arena, as a program that cares has it.
    google::protobuf::Arena arena;
    auto* const made =
        google::protobuf::Arena::CreateMessage<v1::BatchCreateSegmentsResponse>(
            &arena);
    const auto create = [&] { CreateBatch(daemon, request, made); };
    if (time_removal) {
      create();
    } else {
      watch.Time(create);
    }
    const v1::BatchDeleteSegmentsRequest deletion = DeletionOf(*made);
    const auto remove = [&] { DeleteBatch(daemon, deletion); };
    if (time_removal) {
      watch.Time(remove);
    } else {
      remove();
    }
  }
}

// Segments alike, by the client library.
void TimeCreateMany(benchmark::State& state, Daemon& daemon, const Kind& kind,
                    int count) {
  SegmentSpec spec;
  spec.backend = kind.backend;
  spec.size_bytes = kind.size_bytes;
  Stopwatch watch(state);
  for (auto _ : state) {
    std::vector<std::string> handles;
    watch.Time(
        [&] { handles = Require(daemon.client().CreateMany(spec, count)); });
    v1::BatchDeleteSegmentsRequest deletion;
    deletion.set_parent("namespaces/default");
    for (const std::string& handle : handles) {
      deletion.add_names(
          absl::StrCat("namespaces/default/segments/",
                       UidToHex(Require(DecodeHandle(handle)).uid)));
    }
    DeleteBatch(daemon, deletion);
  }
}

// As many at a time, all of them kept until the end as the daemon does.
void TimeKernelBatch(benchmark::State& state, const Kind& kind, int count,
                     bool time_removal) {
  Stopwatch watch(state);
  for (auto _ : state) {
    std::deque<KernelObject> objects;
    const auto create = [&] {
      for (int i = 0; i < count; ++i) {
        objects.push_back(MakeKernelObject(kind));
      }
    };
    const auto remove = [&] {
      for (KernelObject& object : objects) Require(object.Remove());
    };
    if (time_removal) {
      create();
      watch.Time(remove);
    } else {
      watch.Time(create);
      remove();
    }
  }
}

// What the kernel does of the daemon's work, where the daemon does it.
void AddKernelPart(const std::string& name, const Daemon& daemon,
                   const std::function<void(benchmark::State&)>& run) {
  AddCreate(name, [run, pid = daemon.pid()](benchmark::State& state) {
    const OnCpusOf there(pid);
    run(state);
  });
}

void RegisterBatches(Daemon& daemon) {
  const Kind kind{BackendKind::kMemfd, kPage, ""};
  for (const int count : {64, 900}) {
    const auto add = [&](const char* operation, const Batch& batch,
                         bool removal) {
      AddCreate(absl::StrCat(operation, batch.name()),
                [&daemon, batch, removal](benchmark::State& state) {
                  TimeBatch(state, daemon, batch, removal);
                });
    };
    add("batch_create/", {kind, count, v1::BASIC}, false);
    add("batch_create/", {kind, count, v1::IDENTITY}, false);
    add("batch_delete/", {kind, count, v1::BASIC}, true);
    AddCreate(absl::StrCat("client_create_many/memfd/", count),
              [&daemon, kind, count](benchmark::State& state) {
                TimeCreateMany(state, daemon, kind, count);
              });
    for (const bool removal : {false, true}) {
      AddKernelPart(
          absl::StrCat(removal ? "kernel_batch_delete" : "kernel_batch_create",
                       "/memfd/", count),
          daemon, [kind, count, removal](benchmark::State& state) {
            TimeKernelBatch(state, kind, count, removal);
          });
    }
  }
}

void RegisterKind(Daemon& daemon, const Kind& kind) {
  using RpcBenchmark = void (*)(benchmark::State&, Daemon&, const Kind&);
  const std::pair<const char*, RpcBenchmark> rpcs[] = {
      {"delete", TimeDelete},
      {"create_delete", TimeCreateDelete},
      {"client_create", TimeClientCreate},
      {"client_delete", TimeClientDelete},
  };
  for (const v1::SegmentView view : {v1::BASIC, v1::IDENTITY}) {
    AddCreate(
        absl::StrCat(view == v1::IDENTITY ? "create_identity/" : "create/",
                     kind.name()),
        [&daemon, kind, view](benchmark::State& state) {
          TimeCreate(state, daemon, kind, view);
        });
  }
  for (const auto& [name, run] : rpcs) {
    AddCreate(absl::StrCat(name, "/", kind.name()),
              [&daemon, kind, run = run](benchmark::State& state) {
                run(state, daemon, kind);
              });
  }
  AddKernelPart(
      absl::StrCat("kernel_create/", kind.name()), daemon,
      [kind](benchmark::State& state) { TimeKernelCreate(state, kind); });
  if (kind.backend == BackendKind::kMappedFile) {
    AddKernelPart(
        absl::StrCat("kernel_recorded/", kind.name()), daemon,
        [kind](benchmark::State& state) { TimeKernelRecorded(state, kind); });
  }
  AddKernelPart(
      absl::StrCat("kernel_delete/", kind.name()), daemon,
      [kind](benchmark::State& state) { TimeKernelDelete(state, kind); });
}

}  // namespace

void RegisterCreate(const Subjects& subjects) {
  Daemon& daemon = *subjects.daemon;
  const std::string name =
      daemon.Keep(daemon.NewSegment(BackendKind::kMemfd, kPage)).name();
  const std::pair<const char*, Call> calls[] = {
      {"unary/write_nothing", WriteNothing(daemon, name)},
      {"unary/delete_absent", DeleteAbsent(daemon)},
      {"unary/create_handle", CreateHandle(daemon, name)},
      {"unary/get_basic", GetBasic(daemon, name)},
  };
  for (const auto& [label, call] : calls) {
    AddCreate(label, [call = call](benchmark::State& state) {
      TimeCall(state, call);
    });
  }
  AddCreate(
      "unary/write_nothing_amid",
      [&daemon, call = WriteNothing(daemon, name)](benchmark::State& state) {
        TimeCallAmid(state, daemon, call);
      });
  for (const BackendKind backend :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kSysv,
        BackendKind::kMappedFile}) {
    for (const uint64_t size_bytes : {kPage, uint64_t{1} << 20}) {
      RegisterKind(daemon, {backend, size_bytes, subjects.folder});
    }
  }
  RegisterBatches(daemon);
}

}  // namespace shmd::bench
