#ifndef SHMD_SERVER_RPC_SERVE_CALLER_H_
#define SHMD_SERVER_RPC_SERVE_CALLER_H_

#include <grpcpp/server_context.h>

#include <functional>

#include "absl/status/status.h"
#include "server/access/connection_table.h"

namespace shmd {

// What every unary method does around its own work: finds the caller,
// runs `body`, logs a failure that is ours,
// and turns the result into gRPC's.
grpc::Status ServeCaller(
    const ConnectionTable& connections, const grpc::ServerContextBase& context,
    const char* method, const std::function<absl::Status(const Caller&)>& body);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SERVE_CALLER_H_
