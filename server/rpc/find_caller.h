#ifndef SHMD_SERVER_RPC_FIND_CALLER_H_
#define SHMD_SERVER_RPC_FIND_CALLER_H_

#include <grpcpp/server_context.h>

#include <memory>

#include "absl/status/statusor.h"
#include "server/access/connection_table.h"

namespace shmd {

// Whether the call came over TCP, where a certificate says who it is.
bool IsOverTcp(const grpc::ServerContextBase& context);

// Who makes the call: by the kernel's word on a connection of our Unix socket,
// by the client certificate over TCP. CALLER_UNKNOWN (UNAUTHENTICATED) when
// there is neither; CALLER_NOT_ALLOWED for certificates that are let do
// nothing.
absl::StatusOr<std::shared_ptr<const Caller>> FindCaller(
    const ConnectionTable& connections, const grpc::ServerContextBase& context);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_FIND_CALLER_H_
