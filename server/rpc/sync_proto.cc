#include "server/rpc/sync_proto.h"

#include "base/status_macros.h"
#include "server/registry/names.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/time_to_proto.h"
#include "server/session/session.h"

namespace shmd {
namespace {

// The numbers are the same.
v1::SyncPrimitive::Kind KindToProto(uint32_t kind) {
  return v1::SyncPrimitive::Kind_IsValid(static_cast<int>(kind))
             ? static_cast<v1::SyncPrimitive::Kind>(kind)
             : v1::SyncPrimitive::KIND_UNSPECIFIED;
}

absl::StatusOr<SyncSpec> SpecFromProto(const v1::SyncPrimitive& proto) {
  SyncSpec spec;
  // An open enum: any number may come.
  const int kind = proto.kind();
  if (kind > 0 && kind <= layout::kLastSyncKind) {
    spec.kind = layout::SyncKind{static_cast<uint8_t>(kind)};
  }
  spec.initial_count = proto.initial_count();
  spec.parties = proto.parties();
  spec.automatic_reset = proto.automatic_reset();
  spec.value_bytes = proto.value_bytes();
  RETURN_IF_ERROR(CheckSyncSpec(spec));
  return spec;
}

}  // namespace

void LockToProto(const SyncRegistry::LockUse& use, v1::Lock* proto) {
  proto->set_offset_bytes(use.slot.offset_bytes);
  proto->set_kind(KindToProto(use.slot.kind));
  proto->set_state(static_cast<v1::Lock::State>(use.slot.state));
  proto->set_shared(use.slot.kind ==
                        static_cast<uint32_t>(layout::SyncKind::kRwLock) &&
                    use.slot.detail != 0);
  proto->set_session(SessionName(use.session));
  proto->set_pid(use.pid);
  proto->set_thread(use.slot.thread);
  TimeToProto(use.since, proto->mutable_since_time());
}

void PrimitiveToProto(const Segment& segment, v1::SyncPrimitive* proto) {
  const SyncSpec spec = SyncSpecOf(segment.labels);
  proto->set_name(SyncNameOf(segment.name));
  proto->set_kind(KindToProto(static_cast<uint32_t>(spec.kind)));
  proto->set_initial_count(spec.initial_count);
  proto->set_parties(spec.parties);
  proto->set_automatic_reset(spec.automatic_reset);
  proto->set_value_bytes(spec.value_bytes);
  proto->set_mode(segment.options.mode);
  proto->set_owner(segment.options.owner);
  proto->set_group(segment.options.group);
  TimeToProto(segment.create_time, proto->mutable_create_time());
}

absl::StatusOr<SyncRegistry::PrimitiveCommand> PrimitiveFromProto(
    const v1::CreateSyncPrimitiveRequest& request) {
  SyncRegistry::PrimitiveCommand command;
  ASSIGN_OR_RETURN(command.name_space,
                   ParseNamespaceName("parent", request.parent()));
  command.id = request.sync_primitive_id();
  RETURN_IF_ERROR(CheckSyncId("sync_primitive_id", command.id));
  ASSIGN_OR_RETURN(command.spec, SpecFromProto(request.sync_primitive()));
  const uint32_t mode = request.sync_primitive().mode();
  RETURN_IF_ERROR(CheckMode("sync_primitive.mode", mode));
  if (mode != 0) command.mode = mode;
  return command;
}

}  // namespace shmd
