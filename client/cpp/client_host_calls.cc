#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"

// The RPCs of Client about the host: its programs, and what leaked on it.

namespace shmd {
inline namespace client {
namespace {

using OrphanStub = v1::OrphanService::Stub;
using SessionStub = v1::SessionService::Stub;

constexpr int kListPageSize = 1000;

// `sessions/ID` of a whole name or its last part.
std::string SessionName(absl::string_view name) {
  return absl::StrContains(name, '/') ? std::string(name)
                                      : absl::StrCat("sessions/", name);
}

}  // namespace

absl::StatusOr<std::vector<Orphan>> Client::ListOrphans() {
  std::vector<Orphan> out;
  v1::ListOrphansRequest request;
  request.set_page_size(kListPageSize);
  do {
    v1::ListOrphansResponse reply;
    RETURN_IF_ERROR(impl_->Call(impl_->Orphans(), &OrphanStub::ListOrphans,
                                request, reply));
    for (const v1::Orphan& orphan : reply.orphans()) {
      out.push_back(OrphanFromProto(orphan));
    }
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return out;
}

absl::Status Client::DeleteOrphan(const Orphan& orphan) {
  v1::DeleteOrphanRequest request;
  request.set_name(orphan.name);
  request.set_etag(orphan.etag);
  google::protobuf::Empty reply;
  return impl_->Call(impl_->Orphans(), &OrphanStub::DeleteOrphan, request,
                     reply);
}

absl::StatusOr<Session> Client::GetSession(absl::string_view name) {
  v1::GetSessionRequest request;
  request.set_name(SessionName(name));
  v1::Session reply;
  RETURN_IF_ERROR(
      impl_->Call(impl_->Sessions(), &SessionStub::GetSession, request, reply));
  return SessionFromProto(reply);
}

absl::StatusOr<std::vector<Session>> Client::ListSessions(
    absl::string_view segment) {
  std::vector<Session> out;
  v1::ListSessionsRequest request;
  request.set_page_size(kListPageSize);
  if (!segment.empty()) request.set_segment(impl_->FullName(segment));
  do {
    v1::ListSessionsResponse reply;
    RETURN_IF_ERROR(impl_->Call(impl_->Sessions(), &SessionStub::ListSessions,
                                request, reply));
    for (const v1::Session& session : reply.sessions()) {
      out.push_back(SessionFromProto(session));
    }
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return out;
}

absl::StatusOr<SegmentUsers> Client::ListSegmentUsers(absl::string_view name) {
  v1::ListSegmentUsersRequest request;
  request.set_name(impl_->FullName(name));
  v1::ListSegmentUsersResponse reply;
  RETURN_IF_ERROR(impl_->Call(impl_->Sessions(), &SessionStub::ListSegmentUsers,
                              request, reply));
  return SegmentUsersFromProto(reply);
}

}  // namespace client
}  // namespace shmd
