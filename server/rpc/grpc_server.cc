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
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/rpc/channel_service.h"
#include "server/rpc/grant_service.h"
#include "server/rpc/namespace_service.h"
#include "server/rpc/node_service.h"
#include "server/rpc/object_service.h"
#include "server/rpc/orphan_service.h"
#include "server/rpc/reflection_service.h"
#include "server/rpc/segment_service.h"
#include "server/rpc/session_service.h"
#include "server/rpc/sync_service.h"

namespace shmd {
namespace {

constexpr int kMaxMessageBytes = 1 << 20;
constexpr int kMaxConcurrentStreams = 64;

std::vector<std::string> NamesOf(
    const std::vector<std::unique_ptr<RpcService>>& services) {
  std::vector<std::string> names;
  for (const auto& service : services) names.push_back(service->name());
  return names;
}

}  // namespace

GrpcServer::GrpcServer(UniqueFd listener, const Parts& parts)
    : listener_(std::move(listener)),
      acceptor_(parts.policy),
      connections_(parts.policy),
      watches_(&parts.registry->namespaces(),
               &parts.registry->events().signal()) {
  services_.push_back(std::make_unique<SegmentService>(
      &connections_, parts.registry, &watches_));
  services_.push_back(std::make_unique<ObjectService>(
      &connections_, parts.registry, parts.objects, &watches_));
  services_.push_back(std::make_unique<ChannelService>(
      &connections_, parts.registry, parts.channels, &watches_));
  services_.push_back(std::make_unique<SessionService>(
      &connections_, parts.registry, parts.sessions));
  services_.push_back(std::make_unique<GrantService>(
      &connections_, parts.registry, parts.channels));
  services_.push_back(
      std::make_unique<NamespaceService>(&connections_, parts.namespaces));
  services_.push_back(std::make_unique<NodeService>(
      &connections_, parts.registry, parts.start_time));
  services_.push_back(
      std::make_unique<OrphanService>(&connections_, parts.census));
  services_.push_back(
      std::make_unique<SyncService>(&connections_, parts.registry, parts.sync));
  auto health = std::make_unique<HealthService>(NamesOf(services_));
  health_ = health.get();
  services_.push_back(std::move(health));
  std::vector<std::string> names = NamesOf(services_);
  names.push_back(
      grpc::reflection::v1alpha::ServerReflection::service_full_name());
  services_.push_back(std::make_unique<ReflectionService>(
      std::move(names), parts.tcp != nullptr && parts.tcp->reflection));
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    UniqueFd listener, const Parts& parts) {
  auto server =
      std::unique_ptr<GrpcServer>(new GrpcServer(std::move(listener), parts));
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
  for (const auto& service : server->services_) {
    builder.RegisterService(service->service());
  }
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             kMaxConcurrentStreams);
  server->queue_ = std::make_unique<CallQueue>(builder.AddCompletionQueue());
  int port = 0;
  if (parts.tcp != nullptr) {
    RETURN_IF_ERROR(AddTcp(*parts.tcp, &builder, &port));
  }
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    if (parts.tcp != nullptr) return TcpFailed(*parts.tcp);
    return Error(absl::StatusCode::kInternal, reason::kKernelRefused,
                 "gRPC could not be started");
  }
  if (parts.tcp != nullptr) LogTcp(*parts.tcp, port);
  CallQueue* const queue = server->queue_.get();
  for (const auto& service : server->services_) service->Await(queue);
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
    SHMD_FAILPOINT("rpc.accepted");
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
  health_->Drain();
  watches_.Drain();
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  queue_->Stop();
}

GrpcServer::~GrpcServer() { Stop(absl::ZeroDuration()); }

}  // namespace shmd
