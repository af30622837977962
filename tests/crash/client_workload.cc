// A program that uses all of the client library once, to be killed at any point
// of it: client_workload SOCKET_DIR BACKEND SHARED FOLDER, where SHARED is the
// handle of a segment that others use too.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/client.h"
#include "client/cpp/file_transfer.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd {
namespace {

constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

void Check(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T Check(absl::StatusOr<T> value, const char* what) {
  Check(value.status(), what);
  return *std::move(value);
}

struct Workload {
  Client client;
  std::string backend;  // "HUGE": memfds of huge pages
  std::string folder;

  uint64_t PageBytes() const { return backend == "HUGE" ? kHugePageBytes : 0; }
  uint64_t SizeBytes() const {
    return 2 * (PageBytes() > 0 ? PageBytes() : uint64_t{4096});
  }

  bool IsMemfd() const { return backend == "MEMFD" || backend == "HUGE"; }

  SegmentSpec Spec(const std::string& id) const {
    static const std::map<std::string, BackendKind> kinds = {
        {"MEMFD", BackendKind::kMemfd},
        {"HUGE", BackendKind::kMemfd},
        {"POSIX", BackendKind::kPosix},
        {"SYSV", BackendKind::kSysv},
        {"MAPPED_FILE", BackendKind::kMappedFile}};
    SegmentSpec spec;
    spec.id = id;
    spec.size_bytes = SizeBytes();
    spec.page_size_bytes = PageBytes();
    spec.backend = kinds.at(backend);
    spec.resizable = spec.backend != BackendKind::kSysv;
    if (spec.backend == BackendKind::kMappedFile) spec.file_path = id;
    return spec;
  }

  // A segment that ends with this program.
  void MakeOwned() {
    std::string session;
    for (const Session& one : Check(client.ListSessions(), "ListSessions")) {
      if (one.pid == getpid()) session = one.name;
    }
    v1::CreateSegmentRequest request;
    request.set_parent("namespaces/default");
    request.set_segment_id("owned");
    v1::Segment& segment = *request.mutable_segment();
    segment.set_size_bytes(SizeBytes());
    segment.set_page_size_bytes(PageBytes());
    v1::Segment::Backend number;
    if (!v1::Segment::Backend_Parse(backend == "HUGE" ? "MEMFD" : backend,
                                    &number)) {
      std::exit(2);
    }
    segment.set_backend(number);
    if (number == v1::Segment::MAPPED_FILE) segment.set_file_path("owned");
    segment.set_lifetime(v1::Segment::SESSION);
    segment.set_owner_session(session);
    const auto stub = v1::SegmentService::NewStub(grpc::CreateChannel(
        absl::StrCat("unix:", client.socket_dir(), "/grpc.sock"),
        grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    v1::Segment made;
    const grpc::Status status = stub->CreateSegment(&context, request, &made);
    if (!status.ok()) {
      std::fprintf(stderr, "owned: %s\n", status.error_message().c_str());
      std::exit(1);
    }
    WritableAttached mapping =
        Check(client.MapWritable(made.handle_string()), "MapWritable");
    std::memset(mapping.bytes().data(), 'o', SizeBytes());
  }

  void UseShared(const std::string& handle) {
    WritableAttached mapping = Check(client.MapWritable(handle), "shared");
    std::memset(mapping.bytes().data(), 's', SizeBytes());
    const ReadOnlyAttached reader =
        Check(client.MapReadOnly(handle), "MapReadOnly");
    if (reader.bytes()[0] != 's') std::exit(1);
  }

  void MakeAndChange() {
    const Segment made = Check(client.Create(Spec("made")), "Create");
    SegmentUpdate update;
    update.labels.emplace();
    (*update.labels)["of"] = "made";
    Check(client.Update("made", update).status(), "Update");
    Check(client.Write("made", 0, "written"), "Write");
    Check(client.Read("made", 0, 7).status(), "Read");
    Check(client.CreateHandle("made").status(), "CreateHandle");
    if (backend != "SYSV") {
      Check(client.Resize("made", 2 * SizeBytes()).status(), "Resize");
    }
    if (IsMemfd()) Check(client.Seal("made").status(), "Seal");
    Check(client.Delete("made"), "Delete");
  }

  void MakeBatch() {
    Check(client.BatchCreate({Spec("first"), Spec("second")}).status(),
          "BatchCreate");
    Check(client.BatchDelete({"first", "second"}), "BatchDelete");
    SegmentSpec many;
    many.size_bytes = SizeBytes();
    many.lifetime = Lifetime::kSession;
    Check(client.CreateMany(many, 3).status(), "CreateMany");
  }

  void MoveFiles() {
    const std::string from = absl::StrCat(folder, "/from");
    std::ofstream(from) << std::string(SizeBytes(), 'f');
    const Segment put =
        Check(PutFile(client, from, Spec("put"), IsMemfd()), "PutFile");
    Check(GetFile(client, put.handle, absl::StrCat(folder, "/to")), "GetFile");
    Check(client.Delete("put"), "Delete");
  }
};

int Run(char** argv) {
  ConnectOptions options;
  options.socket_dir = argv[1];
  Workload work{Check(Client::Connect(options), "Connect"), argv[2], argv[4]};
  // First: once it is answered, this program is a session.
  work.UseShared(argv[3]);
  work.MakeOwned();
  work.MakeAndChange();
  work.MakeBatch();
  work.MoveFiles();
  return 0;
}

}  // namespace
}  // namespace shmd

int main(int argc, char** argv) { return argc == 5 ? shmd::Run(argv) : 2; }
