#ifndef SHMD_SERVER_RPC_GRPC_SERVER_H_
#define SHMD_SERVER_RPC_GRPC_SERVER_H_

#include <grpcpp/server.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "server/access/acceptor.h"
#include "server/access/connection_table.h"
#include "server/census/orphan_census.h"
#include "server/channel/channel_registry.h"
#include "server/object/object_registry.h"
#include "server/registry/namespace_registry.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/call_queue.h"
#include "server/rpc/health_service.h"
#include "server/rpc/rpc_service.h"
#include "server/rpc/tcp_listener.h"
#include "server/rpc/watch_hub.h"
#include "server/session/session_table.h"
#include "server/sync/sync_registry.h"

namespace shmd {

// gRPC over our own Unix socket, with health and reflection, and over TCP for
// administrators elsewhere. On the Unix socket we accept, read
// who it is from the kernel, and hand the connection to gRPC: gRPC's own local
// credentials check nothing on a Unix socket.
class GrpcServer {
 public:
  struct Parts {
    const CallerPolicy* policy = nullptr;
    SegmentRegistry* registry = nullptr;
    ObjectRegistry* objects = nullptr;
    ChannelRegistry* channels = nullptr;
    NamespaceRegistry* namespaces = nullptr;
    const SessionTable* sessions = nullptr;
    OrphanCensus* census = nullptr;
    SyncRegistry* sync = nullptr;
    absl::Time start_time;
    const TcpSettings* tcp = nullptr;  // none: no TCP
  };

  // Serves on `listener`, a listening SOCK_STREAM socket, until Stop. Borrows
  // the parts.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(UniqueFd listener,
                                                           const Parts& parts);

  // Turns new connections away, says NOT_SERVING, ends watches, and lets calls
  // that are under way end until `grace` has passed.
  void Stop(absl::Duration grace);

  ~GrpcServer();

 private:
  GrpcServer(UniqueFd listener, const Parts& parts);

  void AcceptUntilStopped();

  UniqueFd listener_;
  UniqueFd stop_;  // eventfd
  Acceptor acceptor_;
  ConnectionTable connections_;
  WatchHub watches_;
  std::vector<std::unique_ptr<RpcService>> services_;
  HealthService* health_ = nullptr;  // one of them
  // Before the queue: calls that have ended hold on to it.
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<CallQueue> queue_;
  std::thread accept_thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_GRPC_SERVER_H_
