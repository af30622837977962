#ifndef SHMD_SERVER_RPC_SYNC_PROTO_H_
#define SHMD_SERVER_RPC_SYNC_PROTO_H_

#include "absl/status/statusor.h"
#include "server/registry/segment.h"
#include "server/sync/sync_registry.h"
#include "shmd/v1/sync.pb.h"

namespace shmd {

void LockToProto(const SyncRegistry::LockUse& use, v1::Lock* proto);

// All but the handle.
void PrimitiveToProto(const Segment& segment, v1::SyncPrimitive* proto);

absl::StatusOr<SyncRegistry::PrimitiveCommand> PrimitiveFromProto(
    const v1::CreateSyncPrimitiveRequest& request);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SYNC_PROTO_H_
