#ifndef SHMD_SERVER_RPC_OBJECT_PROTO_H_
#define SHMD_SERVER_RPC_OBJECT_PROTO_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/object/object.h"
#include "server/object/object_registry.h"
#include "shmd/v1/object.pb.h"

namespace shmd {

// All but the handle.
void ObjectToProto(const std::string& name_space, const ObjectView& object,
                   v1::Object* proto);

absl::StatusOr<PublishCommand> PublishFromProto(
    const v1::CreateObjectRequest& request);

absl::StatusOr<ArenaCommand> ArenaFromProto(
    const v1::CreateArenaRequest& request);

// From now; more than zero.
absl::StatusOr<absl::Duration> LeaseFromProto(
    const v1::LeaseObjectRequest& request);

absl::StatusOr<RoomRequest> RoomFromProto(const v1::MakeRoomRequest& request);

// How long to wait; zero for not at all.
absl::StatusOr<absl::Duration> WaitFromProto(
    const v1::GetObjectRequest& request);
absl::StatusOr<absl::Duration> WaitFromProto(
    const v1::BatchGetObjectsRequest& request);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_OBJECT_PROTO_H_
