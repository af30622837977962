#include "client/cpp/health.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/rpc_status.h"
#include "client/cpp/socket_dir.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace shmd {
inline namespace client {

absl::Status CheckHealth(absl::string_view socket_dir, absl::Duration timeout) {
  using grpc::health::v1::HealthCheckResponse;
  const std::string folder = ResolveSocketDir(socket_dir);
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(absl::StrCat("unix:", folder, "/grpc.sock"),
                          grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  HealthCheckResponse reply;
  const grpc::Status ended = stub->Check(&context, {}, &reply);
  if (!ended.ok()) return UnreachableStatus(folder, ended.error_message());
  if (reply.status() != HealthCheckResponse::SERVING) {
    return UnreachableStatus(
        folder,
        absl::StrCat("its health is ",
                     HealthCheckResponse::ServingStatus_Name(reply.status())));
  }
  return absl::OkStatus();
}

}  // namespace client
}  // namespace shmd
