#include "server/rpc/sync_service.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/rpc/page.h"
#include "server/rpc/sync_proto.h"
#include "server/session/session.h"
#include "shm/handle.h"

namespace shmd {
namespace {

// How often one that exists and is deleted each time is looked for.
constexpr int kAttempts = 16;

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
  ASSIGN_OR_RETURN(const SyncRegistry::PrimitiveCommand command,
                   PrimitiveFromProto(request));
  absl::StatusOr<SegmentView> made;
  // It may be deleted between the two.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    made = sync_->CreatePrimitive(caller, command);
    if (!request.allow_existing() ||
        GetErrorReason(made.status()) != reason::kSyncPrimitiveExists) {
      break;
    }
    const absl::Status exists = made.status();
    made = sync_->GetPrimitive(caller,
                               {command.name_space, SyncSegmentId(command.id)});
    if (made.ok() &&
        !AreAlike(SyncSpecOf(made->segment->labels), command.spec)) {
      return exists;
    }
    if (GetErrorReason(made.status()) != reason::kSyncPrimitiveNotFound) break;
  }
  RETURN_IF_ERROR(made.status());
  PrimitiveToProto(*made->segment, reply);
  reply->set_handle(
      EncodeHandle(segments_->WholeHandle(caller, *made->segment)));
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
