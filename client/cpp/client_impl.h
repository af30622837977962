#ifndef SHMD_CLIENT_CPP_CLIENT_IMPL_H_
#define SHMD_CLIENT_CPP_CLIENT_IMPL_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/attach_socket.h"
#include "client/cpp/client.h"
#include "client/cpp/rpc_status.h"
#include "grpcpp/client_context.h"
#include "shmd/v1/node.grpc.pb.h"
#include "shmd/v1/orphan.grpc.pb.h"
#include "shmd/v1/segment.grpc.pb.h"
#include "shmd/v1/session.grpc.pb.h"

namespace shmd {
inline namespace client {

// What a Client holds: the attach connection, and the gRPC channel once an RPC
// was made. Thread-safe.
class Client::Impl {
 public:
  explicit Impl(ConnectOptions options) : options_(std::move(options)) {}

  const std::string& socket_dir() const { return options_.socket_dir; }

  // The open connection; opens one when there is none, it was lost, or it is
  // the parent's.
  absl::StatusOr<std::shared_ptr<AttachSocket>> Connection();

  // Asks for a segment, over a new connection when the daemon was restarted.
  absl::StatusOr<OpenedSegment> Open(absl::string_view handle, Access access);

  // Waits until the daemon has seen what was detached.
  void AwaitDetaches();

  // `namespaces/default`.
  std::string Parent() const;
  // The full name of a segment.
  std::string FullName(absl::string_view name) const;

  std::shared_ptr<v1::SegmentService::Stub> Segments();
  std::shared_ptr<v1::NodeService::Stub> Nodes();
  std::shared_ptr<v1::OrphanService::Stub> Orphans();
  std::shared_ptr<v1::SessionService::Stub> Sessions();

  // To be told how every call on a stub has ended. After SERVER_UNREACHABLE
  // the next call gets a new channel: gRPC's own waits for its back-off, which
  // took 2 to 20 s where a restarted daemon was there after 0.3 s.
  void NoteEnd(const void* stub, const absl::Status& status);

  // One unary call with a deadline.
  template <typename Stub, typename Request, typename Reply>
  absl::Status Call(std::shared_ptr<Stub> stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Reply*),
                    const Request& request, Reply& reply) {
    grpc::ClientContext context;
    if (options_.call_timeout != absl::InfiniteDuration()) {
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + options_.call_timeout));
    }
    const absl::Status status = StatusFromGrpc(
        (stub.get()->*method)(&context, request, &reply), options_.socket_dir);
    NoteEnd(stub.get(), status);
    return status;
  }

 private:
  // Those of one channel.
  struct Stubs {
    std::unique_ptr<v1::SegmentService::Stub> segments;
    std::unique_ptr<v1::NodeService::Stub> nodes;
    std::unique_ptr<v1::OrphanService::Stub> orphans;
    std::unique_ptr<v1::SessionService::Stub> sessions;
  };
  std::shared_ptr<Stubs> MakeStubs();

  const ConnectOptions options_;

  absl::Mutex connection_mutex_;
  std::shared_ptr<AttachSocket> connection_ ABSL_GUARDED_BY(connection_mutex_);

  absl::Mutex stubs_mutex_;
  std::shared_ptr<Stubs> stubs_ ABSL_GUARDED_BY(stubs_mutex_);
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CLIENT_IMPL_H_
