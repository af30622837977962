#include "client/cpp/sync_calls.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"
#include "client/cpp/sync.h"
#include "shmd/v1/sync.grpc.pb.h"

namespace shmd {
inline namespace client {
namespace {

using Stub = v1::SyncService::Stub;

layout::SyncKind KindFromProto(int kind) {
  return kind > 0 && kind <= layout::kLastSyncKind
             ? layout::SyncKind{static_cast<uint8_t>(kind)}
             : layout::SyncKind::kNone;
}

SyncPrimitive PrimitiveFromProto(const v1::SyncPrimitive& proto) {
  SyncPrimitive out;
  out.name = proto.name();
  out.spec.kind = KindFromProto(proto.kind());
  out.spec.initial_count = proto.initial_count();
  out.spec.parties = proto.parties();
  out.spec.automatic_reset = proto.automatic_reset();
  out.spec.value_bytes = proto.value_bytes();
  out.spec.mode = proto.mode();
  out.owner = proto.owner();
  out.group = proto.group();
  out.create_time = TimeFromProto(proto.create_time());
  out.handle = proto.handle();
  return out;
}

LockUse LockFromProto(const v1::Lock& proto) {
  LockUse out;
  out.offset_bytes = proto.offset_bytes();
  out.kind = KindFromProto(proto.kind());
  out.state = static_cast<layout::SyncState>(proto.state());
  out.shared = proto.shared();
  out.session = proto.session();
  out.pid = proto.pid();
  out.thread = proto.thread();
  out.since = TimeFromProto(proto.since_time());
  return out;
}

constexpr const char* kKindNames[] = {"NONE",      "MUTEX", "RW_LOCK",
                                      "SEMAPHORE", "EVENT", "BARRIER",
                                      "CONDITION", "VALUE"};
static_assert(sizeof(kKindNames) / sizeof(kKindNames[0]) ==
              layout::kLastSyncKind + 1);

}  // namespace

const char* SyncKindName(layout::SyncKind kind) {
  const auto number = static_cast<uint8_t>(kind);
  return kKindNames[number <= layout::kLastSyncKind ? number : 0];
}

layout::SyncKind SyncKindNamed(absl::string_view name) {
  for (uint8_t i = 1; i <= layout::kLastSyncKind; ++i) {
    if (name == kKindNames[i]) return layout::SyncKind{i};
  }
  return layout::SyncKind::kNone;
}

std::string SyncCalls::FullName(absl::string_view name) const {
  return absl::StrContains(name, '/')
             ? std::string(name)
             : absl::StrCat(client_->impl_->Parent(), "/syncPrimitives/", name);
}

absl::StatusOr<SyncPrimitive> SyncCalls::Create(absl::string_view id,
                                                const SyncPrimitiveSpec& spec,
                                                bool allow_existing) {
  v1::CreateSyncPrimitiveRequest request;
  request.set_parent(client_->impl_->Parent());
  request.set_sync_primitive_id(std::string(id));
  v1::SyncPrimitive* const primitive = request.mutable_sync_primitive();
  primitive->set_kind(static_cast<v1::SyncPrimitive::Kind>(spec.kind));
  primitive->set_initial_count(spec.initial_count);
  primitive->set_parties(spec.parties);
  primitive->set_automatic_reset(spec.automatic_reset);
  primitive->set_value_bytes(spec.value_bytes);
  primitive->set_mode(spec.mode);
  request.set_allow_existing(allow_existing);
  v1::SyncPrimitive reply;
  RETURN_IF_ERROR(client_->impl_->Call(
      &Stub::CreateSyncPrimitive, request, reply,
      allow_existing ? Repeat::kHarmless : Repeat::kHarmful));
  return PrimitiveFromProto(reply);
}

absl::StatusOr<SyncPrimitive> SyncCalls::Get(absl::string_view name) {
  v1::GetSyncPrimitiveRequest request;
  request.set_name(FullName(name));
  v1::SyncPrimitive reply;
  RETURN_IF_ERROR(
      client_->impl_->Call(&Stub::GetSyncPrimitive, request, reply));
  return PrimitiveFromProto(reply);
}

absl::StatusOr<std::vector<SyncPrimitive>> SyncCalls::List() {
  v1::ListSyncPrimitivesRequest request;
  request.set_parent(client_->impl_->Parent());
  request.set_page_size(kListPageSize);
  std::vector<SyncPrimitive> all;
  for (;;) {
    v1::ListSyncPrimitivesResponse reply;
    RETURN_IF_ERROR(
        client_->impl_->Call(&Stub::ListSyncPrimitives, request, reply));
    for (const v1::SyncPrimitive& one : reply.sync_primitives()) {
      all.push_back(PrimitiveFromProto(one));
    }
    if (reply.next_page_token().empty()) return all;
    request.set_page_token(reply.next_page_token());
  }
}

absl::Status SyncCalls::Delete(absl::string_view name) {
  v1::DeleteSyncPrimitiveRequest request;
  request.set_name(FullName(name));
  google::protobuf::Empty reply;
  return client_->impl_->Call(&Stub::DeleteSyncPrimitive, request, reply,
                              Repeat::kHarmful);
}

absl::StatusOr<std::vector<LockUse>> SyncCalls::ListLocks(
    absl::string_view name) {
  v1::ListLocksRequest request;
  request.set_parent(client_->impl_->FullName(name));
  request.set_page_size(kListPageSize);
  std::vector<LockUse> all;
  for (;;) {
    v1::ListLocksResponse reply;
    RETURN_IF_ERROR(client_->impl_->Call(&Stub::ListLocks, request, reply));
    for (const v1::Lock& one : reply.locks()) {
      all.push_back(LockFromProto(one));
    }
    if (reply.next_page_token().empty()) return all;
    request.set_page_token(reply.next_page_token());
  }
}

absl::Status SyncCalls::BreakLock(absl::string_view name,
                                  uint64_t offset_bytes) {
  v1::BreakLockRequest request;
  request.set_name(client_->impl_->FullName(name));
  request.set_offset_bytes(offset_bytes);
  google::protobuf::Empty reply;
  // Again, and it would be the next owner's that is broken.
  return client_->impl_->Call(&Stub::BreakLock, request, reply,
                              Repeat::kHarmful);
}

absl::StatusOr<std::shared_ptr<SyncDomain>> SyncCalls::Domain() {
  Client::Impl& impl = *client_->impl_;
  absl::MutexLock lock(&impl.sync_mutex_);
  // A session has one page, and its slots one owner.
  if (impl.sync_ != nullptr && impl.sync_->is_helped()) return impl.sync_;
  v1::OpenSyncPageRequest request;
  request.set_parent(impl.Parent());
  v1::SyncPage reply;
  RETURN_IF_ERROR(impl.CallInSession(
      [&](const std::string& session) { request.set_session(session); },
      [&] { return impl.Call(&Stub::OpenSyncPage, request, reply); }));
  ASSIGN_OR_RETURN(WritableAttached page, client_->MapWritable(reply.handle()));
  ASSIGN_OR_RETURN(impl.sync_,
                   SyncDomain::Over(std::move(page), reply.locker()));
  return impl.sync_;
}

}  // namespace client
}  // namespace shmd
