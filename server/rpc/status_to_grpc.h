#ifndef SHMD_SERVER_RPC_STATUS_TO_GRPC_H_
#define SHMD_SERVER_RPC_STATUS_TO_GRPC_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace shmd {

// The one converter on the server's side: code, message, and the ErrorDetail
// as google.rpc.ErrorInfo (and BadRequest where a field is named) in the
// `grpc-status-details-bin` trailer.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_STATUS_TO_GRPC_H_
