#include "server/rpc/grpc_server.h"

#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace shmd {
namespace {

constexpr int kMaxMessageBytes = 1 << 20;
constexpr int kMaxConcurrentStreams = 64;

}  // namespace

GrpcServer::GrpcServer(UniqueFd listener, const CallerPolicy* policy,
                       SegmentRegistry* registry, uint64_t node,
                       absl::Time start_time)
    : listener_(std::move(listener)),
      acceptor_(policy),
      watches_(registry),
      segment_service_(&connections_, registry, &watches_),
      node_service_(&connections_, registry, node, start_time),
      health_service_({v1::SegmentService::service_full_name(),
                       v1::NodeService::service_full_name()}),
      reflection_service_(
          {v1::SegmentService::service_full_name(),
           v1::NodeService::service_full_name(),
           grpc::health::v1::Health::service_full_name(),
           grpc::reflection::v1alpha::ServerReflection::service_full_name()}) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    UniqueFd listener, const CallerPolicy* policy, SegmentRegistry* registry,
    uint64_t node, absl::Time start_time) {
  auto server = std::unique_ptr<GrpcServer>(
      new GrpcServer(std::move(listener), policy, registry, node, start_time));
  if (fcntl(server->listener_.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  server->stop_.Reset(eventfd(0, EFD_CLOEXEC));
  if (!server->stop_.valid()) return ErrnoStatus(errno, "eventfd");
  // What a peer sends wrong is told to the peer. Protobuf would also write to
  // standard error, and any peer could fill the disk with it.
  google::protobuf::SetLogHandler(nullptr);
  grpc::EnableDefaultHealthCheckService(false);  // CallQueue says why
  grpc::ServerBuilder builder;
  for (grpc::Service* const service :
       {server->segment_service_.service(), server->node_service_.service(),
        server->health_service_.service(),
        server->reflection_service_.service()}) {
    builder.RegisterService(service);
  }
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             kMaxConcurrentStreams);
  server->queue_ = std::make_unique<CallQueue>(builder.AddCompletionQueue());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return ErrnoStatus(EIO, "start of gRPC");
  CallQueue* const queue = server->queue_.get();
  server->segment_service_.Await(queue);
  server->node_service_.Await(queue);
  server->health_service_.Await(queue);
  server->reflection_service_.Await(queue);
  queue->Start();
  server->accept_thread_ =
      std::thread([raw = server.get()] { raw->AcceptUntilStopped(); });
  return server;
}

void GrpcServer::AcceptUntilStopped() {
  pollfd events[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  for (;;) {
    if (poll(events, 2, -1) < 0) continue;  // EINTR
    if (events[1].revents != 0) return;
    std::optional<Acceptor::Accepted> accepted =
        acceptor_.Accept(listener_.get());
    if (!accepted.has_value()) continue;
    const absl::StatusOr<int> number = connections_.Add(
        std::move(accepted->socket), std::move(accepted->caller));
    if (!number.ok()) {
      Log(LogLevel::kError, number.status().message());
      continue;
    }
    grpc::AddInsecureChannelFromFd(server_.get(), *number);
  }
}

void GrpcServer::Stop(absl::Duration grace) {
  if (server_ == nullptr || !accept_thread_.joinable()) return;
  const uint64_t one = 1;
  // An eventfd that counts to one cannot refuse.
  if (write(stop_.get(), &one, sizeof(one)) < 0) return;
  accept_thread_.join();
  health_service_.Drain();
  watches_.Drain();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  queue_->Stop();
}

GrpcServer::~GrpcServer() { Stop(absl::ZeroDuration()); }

}  // namespace shmd
