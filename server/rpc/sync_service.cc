#include "server/rpc/sync_service.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/page.h"
#include "server/rpc/time_to_proto.h"
#include "server/session/session.h"
#include "shm/handle.h"

namespace shmd {
namespace {

// What a page token is of, beside the parent.
std::string LocksOf(absl::string_view parent) {
  return absl::StrCat("locks of ", parent);
}

// What the page begins behind; empty for the first.
absl::StatusOr<std::string> After(absl::string_view query,
                                  const std::string& token) {
  if (token.empty()) return std::string();
  return ReadPageToken(query, token);
}

// The numbers are the same.
v1::SyncPrimitive::Kind KindToProto(uint32_t kind) {
  return v1::SyncPrimitive::Kind_IsValid(static_cast<int>(kind))
             ? static_cast<v1::SyncPrimitive::Kind>(kind)
             : v1::SyncPrimitive::KIND_UNSPECIFIED;
}

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

}  // namespace

SyncService::SyncService(const ConnectionTable* connections,
                         SegmentRegistry* segments, SyncRegistry* sync)
    : segments_(segments), sync_(sync), methods_(connections, this) {
  using Async = v1::SyncService::AsyncService;
  methods_.Add("OpenSyncPage", &service_, &Async::RequestOpenSyncPage,
               &SyncService::OpenSyncPage,
               &MayAlwaysWait<v1::OpenSyncPageRequest>);
  methods_.Add("ListLocks", &service_, &Async::RequestListLocks,
               &SyncService::ListLocks, &MayAlwaysWait<v1::ListLocksRequest>);
  methods_.Add("BreakLock", &service_, &Async::RequestBreakLock,
               &SyncService::BreakLock, &MayAlwaysWait<v1::BreakLockRequest>);
  methods_.Add("CreateSyncPrimitive", &service_,
               &Async::RequestCreateSyncPrimitive,
               &SyncService::CreateSyncPrimitive,
               &MayAlwaysWait<v1::CreateSyncPrimitiveRequest>);
  methods_.Add("GetSyncPrimitive", &service_, &Async::RequestGetSyncPrimitive,
               &SyncService::GetSyncPrimitive,
               &MayAlwaysWait<v1::GetSyncPrimitiveRequest>);
  methods_.Add("ListSyncPrimitives", &service_,
               &Async::RequestListSyncPrimitives,
               &SyncService::ListSyncPrimitives,
               &MayAlwaysWait<v1::ListSyncPrimitivesRequest>);
  methods_.Add("DeleteSyncPrimitive", &service_,
               &Async::RequestDeleteSyncPrimitive,
               &SyncService::DeleteSyncPrimitive,
               &MayAlwaysWait<v1::DeleteSyncPrimitiveRequest>);
}

absl::Status SyncService::OpenSyncPage(const Caller& caller,
                                       const v1::OpenSyncPageRequest& request,
                                       v1::SyncPage* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const SessionId session,
                   ParseSessionName("session", request.session()));
  ASSIGN_OR_RETURN(const SyncRegistry::OpenedPage opened,
                   sync_->OpenPage(caller, name_space, session));
  reply->set_locker(opened.locker);
  reply->set_handle(
      EncodeHandle(segments_->WholeHandle(caller, *opened.page.segment)));
  return absl::OkStatus();
}

absl::Status SyncService::ListLocks(const Caller& caller,
                                    const v1::ListLocksRequest& request,
                                    v1::ListLocksResponse* reply) {
  ASSIGN_OR_RETURN(const SegmentName segment,
                   ParseLockedName("parent", request.parent()));
  ASSIGN_OR_RETURN(const size_t limit, PageLimit(request.page_size()));
  const std::string query = LocksOf(request.parent());
  ASSIGN_OR_RETURN(const std::string after, After(query, request.page_token()));
  // One more than asked for tells whether there is a next page.
  ASSIGN_OR_RETURN(const std::vector<SyncRegistry::LockUse> uses,
                   sync_->ListLocks(caller, segment, after, limit + 1));
  for (size_t i = 0; i < uses.size() && i < limit; ++i) {
    LockToProto(uses[i], reply->add_locks());
  }
  if (uses.size() > limit) {
    reply->set_next_page_token(MakePageToken(query, uses[limit - 1].Key()));
  }
  return absl::OkStatus();
}

absl::Status SyncService::BreakLock(const Caller& caller,
                                    const v1::BreakLockRequest& request,
                                    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const SegmentName segment,
                   ParseLockedName("name", request.name()));
  return sync_->BreakLock(caller, segment, request.offset_bytes());
}

absl::Status SyncService::CreateSyncPrimitive(
    const Caller& caller, const v1::CreateSyncPrimitiveRequest& request,
    v1::SyncPrimitive* reply) {
  SyncRegistry::PrimitiveCommand command;
  ASSIGN_OR_RETURN(command.name_space,
                   ParseNamespaceName("parent", request.parent()));
  command.id = request.sync_primitive_id();
  RETURN_IF_ERROR(CheckSyncId("sync_primitive_id", command.id));
  ASSIGN_OR_RETURN(command.spec, SpecFromProto(request.sync_primitive()));
  const uint32_t mode = request.sync_primitive().mode();
  RETURN_IF_ERROR(CheckMode("sync_primitive.mode", mode));
  if (mode != 0) command.mode = mode;
  ASSIGN_OR_RETURN(const SegmentView made,
                   sync_->CreatePrimitive(caller, command));
  PrimitiveToProto(*made.segment, reply);
  reply->set_handle(
      EncodeHandle(segments_->WholeHandle(caller, *made.segment)));
  return absl::OkStatus();
}

absl::Status SyncService::GetSyncPrimitive(
    const Caller& caller, const v1::GetSyncPrimitiveRequest& request,
    v1::SyncPrimitive* reply) {
  ASSIGN_OR_RETURN(const SegmentName segment,
                   ParseSyncName("name", request.name()));
  ASSIGN_OR_RETURN(const SegmentView found,
                   sync_->GetPrimitive(caller, segment));
  PrimitiveToProto(*found.segment, reply);
  reply->set_handle(
      EncodeHandle(segments_->WholeHandle(caller, *found.segment)));
  return absl::OkStatus();
}

absl::Status SyncService::ListSyncPrimitives(
    const Caller& caller, const v1::ListSyncPrimitivesRequest& request,
    v1::ListSyncPrimitivesResponse* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const size_t limit, PageLimit(request.page_size()));
  ASSIGN_OR_RETURN(const std::string after,
                   After(request.parent(), request.page_token()));
  ASSIGN_OR_RETURN(const std::vector<SegmentView> found,
                   sync_->ListPrimitives(caller, name_space, after, limit + 1));
  for (size_t i = 0; i < found.size() && i < limit; ++i) {
    PrimitiveToProto(*found[i].segment, reply->add_sync_primitives());
  }
  if (found.size() > limit) {
    const std::string& last = found[limit - 1].segment->name.id;
    reply->set_next_page_token(MakePageToken(request.parent(), SyncIdOf(last)));
  }
  return absl::OkStatus();
}

absl::Status SyncService::DeleteSyncPrimitive(
    const Caller& caller, const v1::DeleteSyncPrimitiveRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const SegmentName segment,
                   ParseSyncName("name", request.name()));
  return sync_->DeletePrimitive(caller, segment);
}

}  // namespace shmd
