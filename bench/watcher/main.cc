// What watchers that have stopped reading cost the daemon, and how they end.
// bench/README.md has the method and figures.

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shm/sys/socket.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd::bench {
namespace {

constexpr char kParent[] = "namespaces/default";
// More than the daemon keeps of its log, so that it has all its memory.
constexpr int kWarmUp = 40000;

struct Options {
  std::string socket_dir;
  std::vector<int> watchers = {0, 1, 0, 1, 100};
  int events = 100000;
};

[[noreturn]] void Fail(const std::string& why) {
  fprintf(stderr, "watcher: %s\n", why.c_str());
  exit(1);
}

std::unique_ptr<v1::SegmentService::Stub> Connect(const Options& options,
                                                  int number) {
  grpc::ChannelArguments own;
  // Else equal channels share a connection.
  own.SetInt("shmd.number", number);
  return v1::SegmentService::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("unix:", options.socket_dir, "/grpc.sock"),
      grpc::InsecureChannelCredentials(), own));
}

pid_t DaemonPid(const Options& options) {
  const auto socket =
      sys::ConnectUnix(absl::StrCat(options.socket_dir, "/attach.sock"),
                       sys::SocketType::kSeqpacket);
  if (!socket.ok()) Fail(std::string(socket.status().message()));
  const auto peer = sys::ReadPeerCredentials(socket->get());
  return peer.ok() ? peer->pid : 0;
}

double ResidentKiB(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string word;
  while (status >> word) {
    double kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  Fail("the daemon's memory cannot be seen");
}

// Why a call ended: the reason of its ErrorInfo.
std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo error;
    if (detail.UnpackTo(&error)) return error.reason();
  }
  return "";
}

// A watcher on a connection of its own, which reads nothing between its start
// and its end.
class StoppedWatcher {
 public:
  StoppedWatcher(const Options& options, int number)
      : stub_(Connect(options, number)) {
    v1::WatchSegmentsRequest request;
    request.set_parent(kParent);
    reader_ = stub_->WatchSegments(&context_, request);
    do {
      if (!reader_->Read(&event_)) Fail(reader_->Finish().error_message());
    } while (event_.type() != v1::WatchSegmentsResponse::SYNCED);
  }

  // Reads on to the end, which must be that the log has gone past it. Returns
  // how many events had been on their way.
  int ReadOn() {
    int events = 0;
    while (reader_->Read(&event_)) ++events;
    const grpc::Status status = reader_->Finish();
    if (status.error_code() != grpc::OUT_OF_RANGE ||
        ReasonOf(status) != "RESUME_TOKEN_EXPIRED") {
      Fail(absl::StrCat("a watch ended with ", status.error_code(), " ",
                        ReasonOf(status), ": ", status.error_message()));
    }
    return events;
  }

 private:
  std::unique_ptr<v1::SegmentService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchSegmentsResponse>> reader_;
  v1::WatchSegmentsResponse event_;
};

// The segment whose changes are the events.
class Subject {
 public:
  explicit Subject(const Options& options) : stub_(Connect(options, -1)) {
    grpc::ClientContext context;
    v1::CreateSegmentRequest request;
    request.set_parent(kParent);
    request.mutable_segment()->set_size_bytes(4096);
    v1::Segment made;
    const grpc::Status status = stub_->CreateSegment(&context, request, &made);
    if (!status.ok()) Fail(status.error_message());
    name_ = made.name();
  }

  ~Subject() {
    grpc::ClientContext context;
    v1::DeleteSegmentRequest request;
    request.set_name(name_);
    google::protobuf::Empty reply;
    stub_->DeleteSegment(&context, request, &reply);
  }

  void Change(int times) {
    v1::UpdateSegmentRequest request;
    request.mutable_segment()->set_name(name_);
    request.mutable_update_mask()->add_paths("labels");
    for (int i = 0; i < times; ++i) {
      (*request.mutable_segment()->mutable_labels())["change"] =
          absl::StrCat(i);
      grpc::ClientContext context;
      v1::Segment reply;
      const grpc::Status status =
          stub_->UpdateSegment(&context, request, &reply);
      if (!status.ok()) Fail(status.error_message());
    }
  }

 private:
  std::unique_ptr<v1::SegmentService::Stub> stub_;
  std::string name_;
};

void PrintRow(const Options& options, Subject& subject, pid_t daemon,
              int count) {
  const double before_kib = ResidentKiB(daemon);
  std::vector<std::unique_ptr<StoppedWatcher>> watchers;
  for (int i = 0; i < count; ++i) {
    watchers.push_back(std::make_unique<StoppedWatcher>(options, i));
  }
  subject.Change(options.events);
  const double growth_kib = ResidentKiB(daemon) - before_kib;
  int read = 0;
  for (const auto& watcher : watchers) read += watcher->ReadOn();
  printf("| %d | %d | %.0f | %.0f | %s | %s |\n", count, options.events,
         before_kib, growth_kib,
         count == 0 ? "-" : absl::StrCat(read / count).c_str(),
         count == 0 ? "-" : "RESUME_TOKEN_EXPIRED");
  fflush(stdout);
}

int Main(int argc, char** argv) {
  Options options;
  const char* const from_environment = getenv("SHMD_SOCKET_DIR");
  if (from_environment != nullptr) options.socket_dir = from_environment;
  CLI::App app("Measures what stopped watchers cost a daemon.");
  app.add_option("--socket_dir", options.socket_dir,
                 "Of the daemon; else $SHMD_SOCKET_DIR.");
  app.add_option("--watchers", options.watchers, "How many, row by row.");
  app.add_option("--events", options.events, "That pass in each row.");
  CLI11_PARSE(app, argc, argv);
  const pid_t daemon = DaemonPid(options);
  Subject subject(options);
  subject.Change(kWarmUp);
  puts(
      "| stopped watchers | events | RSS before, KiB | growth, KiB | events "
      "read after all | then |");
  puts("|---:|---:|---:|---:|---:|---|");
  for (const int count : options.watchers) {
    PrintRow(options, subject, daemon, count);
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
