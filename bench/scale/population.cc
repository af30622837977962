#include "bench/scale/population.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "shm/sys/socket.h"
#include "shmd/v1/attach.pb.h"

namespace shmd::bench {
namespace {

constexpr char kParent[] = "namespaces/default";
constexpr size_t kBatch = 500;
constexpr size_t kMostMemfds = 4000;
constexpr size_t kOneMemfdIn = 25;

absl::StatusOr<UniqueFd> ConnectAttach(const std::string& socket_dir) {
  return sys::ConnectUnix(absl::StrCat(socket_dir, "/attach.sock"),
                          sys::SocketType::kSeqpacket);
}

}  // namespace

void Fail(const std::string& why) {
  fprintf(stderr, "scale: %s\n", why.c_str());
  exit(1);
}

Population::Population(std::string socket_dir)
    : socket_dir_(std::move(socket_dir)) {
  const auto channel =
      grpc::CreateChannel(absl::StrCat("unix:", socket_dir_, "/grpc.sock"),
                          grpc::InsecureChannelCredentials());
  segment_stub_ = v1::SegmentService::NewStub(channel);
  node_stub_ = v1::NodeService::NewStub(channel);
}

Population::~Population() {
  for (size_t first = 0; first < names_.size(); first += kBatch) {
    DeleteBatch(first, std::min(first + kBatch, names_.size()));
  }
}

void Population::DeleteBatch(size_t first, size_t end) {
  v1::BatchDeleteSegmentsRequest request;
  request.set_parent(kParent);
  request.set_force(true);
  for (size_t i = first; i < end; ++i) request.add_names(names_[i]);
  grpc::Status status;
  // The channel finds out by its first call that the daemon was another one.
  for (int tries = 0; tries < 3; ++tries) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    google::protobuf::Empty reply;
    status = segment_stub_->BatchDeleteSegments(&context, request, &reply);
    if (status.ok()) return;
  }
  fprintf(stderr, "scale: some segments stay: %s\n",
          status.error_message().c_str());
}

void Population::GrowTo(size_t segments, size_t sessions) {
  while (names_.size() < segments) {
    CreateBatch(std::min(kBatch, segments - names_.size()));
  }
  while (sessions_.size() < sessions) OpenSession();
}

void Population::CreateBatch(size_t count) {
  grpc::ClientContext context;
  v1::BatchCreateSegmentsRequest request;
  request.set_parent(kParent);
  for (size_t i = 0; i < count; ++i) {
    v1::Segment& segment = *request.add_requests()->mutable_segment();
    segment.set_size_bytes(4096);
    segment.set_allocation(v1::Segment::LAZY);
    if (i % kOneMemfdIn == 0 && memfds_ < kMostMemfds) {
      ++memfds_;
    } else {
      segment.set_backend(v1::Segment::POSIX);
    }
  }
  v1::BatchCreateSegmentsResponse reply;
  const grpc::Status status =
      segment_stub_->BatchCreateSegments(&context, request, &reply);
  if (!status.ok()) Fail(status.error_message());
  for (const v1::Segment& made : reply.segments()) {
    names_.push_back(made.name());
  }
}

void Population::OpenSession() {
  absl::StatusOr<UniqueFd> socket = ConnectAttach(socket_dir_);
  if (!socket.ok()) Fail(std::string(socket.status().message()));
  v1::AttachRequest request;
  request.set_sequence(1);
  request.mutable_hello();
  const absl::Status sent =
      sys::SendDatagram(socket->get(), request.SerializeAsString(), -1);
  char buffer[4096];
  const absl::StatusOr<sys::Datagram> answer =
      sys::ReceiveDatagram(socket->get(), absl::MakeSpan(buffer), 0);
  v1::AttachReply reply;
  if (!sent.ok() || !answer.ok() ||
      !reply.ParseFromArray(buffer, static_cast<int>(answer->size_bytes)) ||
      !reply.has_welcome()) {
    Fail(absl::StrCat("session ", sessions_.size(), ": ",
                      reply.error().message()));
  }
  sessions_.push_back(*std::move(socket));
}

pid_t Population::DaemonPid() const {
  const absl::StatusOr<UniqueFd> socket = ConnectAttach(socket_dir_);
  if (!socket.ok()) return 0;
  const auto peer = sys::ReadPeerCredentials(socket->get());
  return peer.ok() ? peer->pid : 0;
}

absl::Duration Population::Restart() {
  const pid_t before = DaemonPid();
  const absl::Time start = absl::Now();
  if (before == 0 || kill(before, SIGKILL) != 0) Fail("no daemon to kill");
  sessions_.clear();
  for (;;) {
    const pid_t now = DaemonPid();
    if (now != 0 && now != before) break;
    if (absl::Now() - start > absl::Minutes(2)) Fail("no daemon came back");
    absl::SleepFor(absl::Milliseconds(1));
  }
  const absl::Duration taken = absl::Now() - start;
  v1::Node node;
  grpc::Status status;
  // The channel finds out by its first call that the daemon was another one.
  for (int tries = 0; tries < 3; ++tries) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    status = node_stub_->GetNode(&context, {}, &node);
    if (status.ok()) break;
  }
  if (!status.ok()) Fail(status.error_message());
  if (node.segment_count() != names_.size()) {
    Fail(absl::StrCat("only ", node.segment_count(), " of ", names_.size(),
                      " segments came back; is it `shmd --keeper`?"));
  }
  return taken;
}

}  // namespace shmd::bench
