#include "server/rpc/object_proto.h"

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/object/object_names.h"
#include "server/registry/names.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/time_to_proto.h"
#include "server/session/session.h"

namespace shmd {
namespace {

constexpr int64_t kMaxTtlSeconds = 6311520000;  // 200 years
constexpr int64_t kMaxWaitSeconds = 3600;
constexpr int64_t kMaxLeaseSeconds = 86400;
constexpr uint32_t kMaxPriority = 255;

// Of a proto duration in [0, `max_seconds`].
absl::StatusOr<absl::Duration> DurationFromProto(
    absl::string_view field, const google::protobuf::Duration& proto,
    int64_t max_seconds) {
  if (proto.seconds() < 0 || proto.seconds() > max_seconds ||
      proto.nanos() < 0 || proto.nanos() >= kNanosPerSecond) {
    return absl::StatusOr<absl::Duration>(
        InvalidField(field, reason::kFieldInvalid, "is out of range")
            .With("max_seconds", max_seconds));
  }
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

absl::StatusOr<absl::Duration> WaitFromProto(
    const google::protobuf::Duration& wait) {
  return DurationFromProto("wait", wait, kMaxWaitSeconds);
}

}  // namespace

void ObjectToProto(const std::string& name_space, const ObjectView& object,
                   v1::Object* proto) {
  proto->set_name(ObjectNameOf(name_space, object.name));
  proto->set_generation(object.generation);
  proto->set_size_bytes(object.size_bytes);
  proto->set_arena(object.arena);
  proto->set_offset_bytes(object.offset_bytes);
  proto->set_metadata_bytes(object.metadata_bytes);
  proto->set_owner(object.owner);
  proto->set_priority(object.priority);
  proto->set_strict(object.is_strict);
  TimeToProto(object.create_time, proto->mutable_create_time());
  if (object.expire_time.has_value()) {
    TimeToProto(*object.expire_time, proto->mutable_expire_time());
  }
  proto->set_spilled(object.is_spilled);
  if (object.lease_expire_time.has_value()) {
    TimeToProto(*object.lease_expire_time, proto->mutable_lease_expire_time());
  }
}

absl::StatusOr<PublishCommand> PublishFromProto(
    const v1::CreateObjectRequest& request) {
  const v1::Object& object = request.object();
  PublishCommand command;
  ASSIGN_OR_RETURN(command.name,
                   ParseObjectId("object_id", request.object_id()));
  command.arena = object.arena();
  command.metadata_bytes = object.metadata_bytes();
  command.offset_bytes = object.offset_bytes();
  command.size_bytes = object.size_bytes();
  command.replace_existing = request.replace_existing();
  command.strict = object.strict();
  if (object.priority() > kMaxPriority) {
    return InvalidField("object.priority", reason::kFieldInvalid,
                        "is more than 255");
  }
  command.priority = static_cast<uint8_t>(object.priority());
  if (object.has_expire_time()) {
    return InvalidField("object.expire_time", reason::kFieldInvalid,
                        "is for replies; ttl is what can be asked for");
  }
  if (object.has_ttl()) {
    ASSIGN_OR_RETURN(command.ttl, DurationFromProto("object.ttl", object.ttl(),
                                                    kMaxTtlSeconds));
  }
  return command;
}

absl::StatusOr<ArenaCommand> ArenaFromProto(
    const v1::CreateArenaRequest& request) {
  const v1::Arena& arena = request.arena();
  ArenaCommand command;
  ASSIGN_OR_RETURN(command.name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(command.session,
                   ParseSessionName("session", request.session()));
  command.size_bytes = arena.size_bytes();
  RETURN_IF_ERROR(CheckSize("arena.size_bytes", command.size_bytes));
  if (arena.page_size_bytes() != 0) {
    command.page_size_bytes = arena.page_size_bytes();
    RETURN_IF_ERROR(
        CheckPageSize("arena", command.page_size_bytes, command.size_bytes));
  }
  RETURN_IF_ERROR(CheckMode("arena.mode", arena.mode()));
  if (arena.mode() != 0) command.mode = arena.mode();
  return command;
}

absl::StatusOr<absl::Duration> LeaseFromProto(
    const v1::LeaseObjectRequest& request) {
  ASSIGN_OR_RETURN(const absl::Duration ttl,
                   DurationFromProto("ttl", request.ttl(), kMaxLeaseSeconds));
  if (ttl > absl::ZeroDuration() && ttl <= absl::Seconds(kMaxLeaseSeconds)) {
    return ttl;
  }
  return absl::StatusOr<absl::Duration>(InvalidField(
      "ttl", reason::kFieldInvalid, "is not more than 0, at most a day"));
}

absl::StatusOr<RoomRequest> RoomFromProto(const v1::MakeRoomRequest& request) {
  RoomRequest room;
  ASSIGN_OR_RETURN(room.name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(room.session,
                   ParseSessionName("session", request.session()));
  room.size_bytes = request.size_bytes();
  if (room.size_bytes == 0 ||
      room.size_bytes > ExtentAllocator::kMaxSizeBytes) {
    return absl::StatusOr<RoomRequest>(
        InvalidField("size_bytes", reason::kFieldInvalid,
                     "is 0, or more than an arena can have"));
  }
  if (request.has_wait()) {
    ASSIGN_OR_RETURN(room.wait, WaitFromProto(request.wait()));
  }
  return room;
}

absl::StatusOr<absl::Duration> WaitFromProto(
    const v1::GetObjectRequest& request) {
  return request.has_wait() ? WaitFromProto(request.wait())
                            : absl::ZeroDuration();
}

absl::StatusOr<absl::Duration> WaitFromProto(
    const v1::BatchGetObjectsRequest& request) {
  return request.has_wait() ? WaitFromProto(request.wait())
                            : absl::ZeroDuration();
}

}  // namespace shmd
