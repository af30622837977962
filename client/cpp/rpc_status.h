#ifndef SHMD_CLIENT_CPP_RPC_STATUS_H_
#define SHMD_CLIENT_CPP_RPC_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace shmd {
inline namespace client {

// The one place where the client turns the daemon's errors into absl::Status.
// google.rpc.ErrorInfo and BadRequest become an ErrorDetail (base/error.h).

// Of AttachReply.error. INTERNAL when its code is OK or unknown: an error
// never becomes a success.
absl::Status StatusFromProto(const google::rpc::Status& error);

// Of an RPC, whose details are in its trailing metadata. UNAVAILABLE without
// detail is gRPC's own word on the connection, CANCELLED its word on a daemon
// that stops (a caller who cancels knows that): both become
// SERVER_UNREACHABLE, naming `socket_dir`.
absl::Status StatusFromGrpc(const grpc::Status& status,
                            absl::string_view socket_dir);

// UNAVAILABLE (SERVER_UNREACHABLE), naming the folder, why, and how to start
// a daemon.
absl::Status UnreachableStatus(absl::string_view socket_dir,
                               absl::string_view why);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_RPC_STATUS_H_
