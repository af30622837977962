#include "bench/segments/daemon.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shm/sys/socket.h"

namespace shmd::bench {
namespace {

v1::Segment::Backend ToProto(BackendKind backend) {
  switch (backend) {
    case BackendKind::kMemfd:
      return v1::Segment::MEMFD;
    case BackendKind::kPosix:
      return v1::Segment::POSIX;
    case BackendKind::kSysv:
      return v1::Segment::SYSV;
    case BackendKind::kMappedFile:
      return v1::Segment::MAPPED_FILE;
  }
  return v1::Segment::BACKEND_UNSPECIFIED;
}

}  // namespace

void Require(const absl::Status& status) {
  if (status.ok()) return;
  const std::string text = status.ToString();
  fprintf(stderr, "segments: %s\n", text.c_str());
  exit(1);
}

void Require(const grpc::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "segments: the daemon: %s\n", status.error_message().c_str());
  exit(1);
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Connect(
    const std::string& socket_dir) {
  ASSIGN_OR_RETURN(UniqueFd attach_socket,
                   sys::ConnectUnix(absl::StrCat(socket_dir, "/attach.sock"),
                                    sys::SocketType::kSeqpacket));
  // Of the process that listens.
  ASSIGN_OR_RETURN(const sys::PeerCredentials peer,
                   sys::ReadPeerCredentials(attach_socket.get()));
  shmd::ConnectOptions options;
  options.socket_dir = socket_dir;
  ASSIGN_OR_RETURN(shmd::Client client, shmd::Client::Connect(options));
  auto segments = v1::SegmentService::NewStub(
      grpc::CreateChannel(absl::StrCat("unix:", socket_dir, "/grpc.sock"),
                          grpc::InsecureChannelCredentials()));
  return std::unique_ptr<Daemon>(new Daemon(peer.pid, std::move(segments),
                                            std::move(client),
                                            std::move(attach_socket)));
}

v1::CreateSegmentRequest Daemon::NewSegment(BackendKind backend,
                                            uint64_t size_bytes) {
  v1::CreateSegmentRequest request;
  const std::string id = absl::StrCat("bench-", getpid(), "-", ++last_name_);
  request.set_parent("namespaces/default");
  request.set_segment_id(id);
  request.mutable_segment()->set_size_bytes(size_bytes);
  request.mutable_segment()->set_backend(ToProto(backend));
  if (backend == BackendKind::kMappedFile) {
    request.mutable_segment()->set_file_path(id);
  }
  return request;
}

SegmentSpec Daemon::NewSpec(BackendKind backend, uint64_t size_bytes) {
  SegmentSpec spec;
  spec.id = absl::StrCat("bench-", getpid(), "-", ++last_name_);
  spec.size_bytes = size_bytes;
  spec.backend = backend;
  if (backend == BackendKind::kMappedFile) spec.file_path = spec.id;
  return spec;
}

v1::Segment Daemon::Create(const v1::CreateSegmentRequest& request) {
  grpc::ClientContext context;
  v1::Segment segment;
  Require(segments_->CreateSegment(&context, request, &segment));
  return segment;
}

v1::Segment Daemon::Keep(const v1::CreateSegmentRequest& request) {
  v1::Segment made = Create(request);
  kept_.push_back(made.name());
  return made;
}

Daemon::~Daemon() {
  DeleteOptions options;
  options.force = true;
  for (const std::string& name : kept_) {
    client_.Delete(name, options).IgnoreError();
  }
}

void Daemon::Delete(const std::string& name) {
  grpc::ClientContext context;
  v1::DeleteSegmentRequest request;
  request.set_name(name);
  google::protobuf::Empty reply;
  Require(segments_->DeleteSegment(&context, request, &reply));
}

void Daemon::Exchange(UniqueFd* fd) {
  request_.set_sequence(++last_sequence_);
  Require(sys::SendDatagram(attach_socket_.get(), request_.SerializeAsString(),
                            -1));
  char buffer[4096];
  sys::Datagram datagram = Require(
      sys::ReceiveDatagram(attach_socket_.get(), absl::MakeSpan(buffer), 0));
  if (!reply_.ParseFromArray(buffer, static_cast<int>(datagram.size_bytes)) ||
      reply_.sequence() != last_sequence_) {
    Require(absl::InternalError("not the answer of the attach socket"));
  }
  if (!datagram.fds.empty()) *fd = std::move(datagram.fds[0]);
}

Daemon::Grant Daemon::Attach(const std::string& handle, v1::Access access) {
  request_.mutable_attach()->set_handle_string(handle);
  request_.mutable_attach()->set_access(access);
  Grant grant;
  Exchange(&grant.fd);
  if (reply_.has_error()) {
    Require(absl::InternalError(reply_.error().message()));
  }
  grant.attachment.Swap(reply_.mutable_attachment());
  return grant;
}

void Daemon::Detach(uint64_t attachment_id) {
  request_.mutable_detach()->set_attachment_id(attachment_id);
  Require(sys::SendDatagram(attach_socket_.get(), request_.SerializeAsString(),
                            -1));
}

void Daemon::AwaitIdle() {
  // Is refused, after everything before it.
  request_.mutable_attach()->set_handle_string("none");
  UniqueFd none;
  Exchange(&none);
}

}  // namespace shmd::bench
