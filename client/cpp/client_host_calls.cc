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

using GrantStub = v1::GrantService::Stub;
using OrphanStub = v1::OrphanService::Stub;
using SessionStub = v1::SessionService::Stub;

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
    RETURN_IF_ERROR(impl_->Call(&OrphanStub::ListOrphans, request, reply));
    for (const v1::Orphan& orphan : reply.orphans()) {
      out.push_back(OrphanFromProto(orphan));
    }
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return out;
}

absl::Status Client::DeleteOrphan(const Orphan& orphan,
                                  bool allow_living_creator) {
  v1::DeleteOrphanRequest request;
  request.set_name(orphan.name);
  request.set_etag(orphan.etag);
  request.set_allow_living_creator(allow_living_creator);
  google::protobuf::Empty reply;
  return impl_->Call(&OrphanStub::DeleteOrphan, request, reply,
                     Repeat::kHarmful);
}

absl::StatusOr<Session> Client::GetSession(absl::string_view name) {
  v1::GetSessionRequest request;
  request.set_name(SessionName(name));
  v1::Session reply;
  RETURN_IF_ERROR(impl_->Call(&SessionStub::GetSession, request, reply));
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
    RETURN_IF_ERROR(impl_->Call(&SessionStub::ListSessions, request, reply));
    for (const v1::Session& session : reply.sessions()) {
      out.push_back(SessionFromProto(session));
    }
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return out;
}

absl::StatusOr<NewGrant> Client::CreateGrant(absl::string_view segment,
                                             const GrantSpec& spec) {
  return impl_->CreateGrant(impl_->FullName(segment), spec);
}

absl::StatusOr<NewGrant> Client::CreateChannelGrant(absl::string_view channel,
                                                    const GrantSpec& spec) {
  return impl_->CreateGrant(impl_->ChannelName(channel), spec);
}

absl::StatusOr<std::vector<Grant>> Client::ListGrants(
    absl::string_view segment) {
  return impl_->ListGrants(impl_->FullName(segment));
}

absl::StatusOr<std::vector<Grant>> Client::ListChannelGrants(
    absl::string_view channel) {
  return impl_->ListGrants(impl_->ChannelName(channel));
}

absl::StatusOr<NewGrant> Client::Impl::CreateGrant(const std::string& parent,
                                                   const GrantSpec& spec) {
  v1::CreateGrantRequest request;
  request.set_parent(parent);
  *request.mutable_grant() = GrantToProto(spec);
  v1::CreateGrantResponse reply;
  // Twice would be two grants.
  RETURN_IF_ERROR(
      Call(&GrantStub::CreateGrant, request, reply, Repeat::kHarmful));
  return NewGrant{GrantFromProto(reply.grant()),
                  std::move(*reply.mutable_handle_string())};
}

absl::StatusOr<std::vector<Grant>> Client::Impl::ListGrants(
    const std::string& parent) {
  v1::ListGrantsRequest request;
  request.set_parent(parent);
  v1::ListGrantsResponse reply;
  RETURN_IF_ERROR(Call(&GrantStub::ListGrants, request, reply));
  std::vector<Grant> out;
  for (const v1::Grant& grant : reply.grants()) {
    out.push_back(GrantFromProto(grant));
  }
  return out;
}

absl::Status Client::DeleteGrant(absl::string_view name) {
  v1::DeleteGrantRequest request;
  request.set_name(std::string(name));
  google::protobuf::Empty reply;
  return impl_->Call(&GrantStub::DeleteGrant, request, reply, Repeat::kHarmful);
}

absl::StatusOr<SegmentUsers> Client::ListSegmentUsers(absl::string_view name) {
  v1::ListSegmentUsersRequest request;
  request.set_name(impl_->FullName(name));
  v1::ListSegmentUsersResponse reply;
  RETURN_IF_ERROR(impl_->Call(&SessionStub::ListSegmentUsers, request, reply));
  return SegmentUsersFromProto(reply);
}

}  // namespace client
}  // namespace shmd
