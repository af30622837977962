#ifndef SHMD_SERVER_RPC_NAMESPACE_FROM_PROTO_H_
#define SHMD_SERVER_RPC_NAMESPACE_FROM_PROTO_H_

#include "absl/status/statusor.h"
#include "server/registry/namespace_registry.h"
#include "shmd/v1/namespace.pb.h"

namespace shmd {

// Namespaces to and from their messages. INVALID_ARGUMENT naming the field at
// fault.

absl::StatusOr<NamespaceRegistry::CreateCommand> CreateFromProto(
    const v1::CreateNamespaceRequest& request);

absl::StatusOr<NamespaceRegistry::UpdateCommand> UpdateFromProto(
    const v1::UpdateNamespaceRequest& request);

void NamespaceToProto(const NamespaceSnapshot& snapshot, v1::Namespace* proto);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_NAMESPACE_FROM_PROTO_H_
