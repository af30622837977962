#include "server/rpc/session_service.h"

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/census/object_id.h"
#include "server/census/segment_users.h"
#include "server/rpc/page.h"
#include "server/rpc/time_to_proto.h"

namespace shmd {
namespace {

void HoldingToProto(const Holding& holding, v1::Holding* proto) {
  proto->set_segment(holding.segment->name.ToString());
  proto->set_generation(holding.segment->generation);
  proto->set_access(AccessToProto(holding.access));
  proto->set_size_bytes(holding.segment->options.size_bytes);
  TimeToProto(holding.attach_time, proto->mutable_attach_time());
}

void SessionToProto(const SessionSnapshot& session, v1::Session* proto) {
  const SessionIdentity& identity = session.identity;
  proto->set_name(SessionName(identity.id));
  proto->set_state(session.awaited ? v1::Session::AWAITED
                                   : v1::Session::CONNECTED);
  proto->set_uid(identity.uid);
  proto->set_gid(identity.gid);
  proto->set_pid(identity.process.pid);
  proto->set_command(identity.process.command);
  if (!identity.name_space.empty()) {
    proto->set_namespace_("namespaces/" + identity.name_space);
  }
  TimeToProto(identity.create_time, proto->mutable_create_time());
  for (const Holding& holding : session.holdings) {
    HoldingToProto(holding, proto->add_holdings());
  }
  proto->set_holding_count(session.holding_count);
  proto->set_held_bytes(session.held_bytes);
  proto->set_owned_segment_count(session.owned_count);
}

// The last session of a page stands in the token of the next, with the segment
// that the list is of.
absl::StatusOr<SessionTable::ListQuery> QueryFromProto(
    const v1::ListSessionsRequest& request) {
  SessionTable::ListQuery query;
  ASSIGN_OR_RETURN(query.limit, PageLimit(request.page_size()));
  if (request.page_token().empty()) return query;
  ASSIGN_OR_RETURN(const std::string last,
                   ReadPageToken(request.segment(), request.page_token()));
  const absl::StatusOr<SessionId> id = ParseSessionName("page_token", last);
  if (!id.ok())
    return absl::StatusOr<SessionTable::ListQuery>(PageTokenInvalid());
  query.after = *id;
  return query;
}

}  // namespace

SessionService::SessionService(const ConnectionTable* connections,
                               SegmentRegistry* registry,
                               const SessionTable* sessions)
    : registry_(registry), sessions_(sessions), methods_(connections, this) {
  using Async = v1::SessionService::AsyncService;
  methods_.Add("GetSession", &service_, &Async::RequestGetSession,
               &SessionService::GetSession,
               &MayAlwaysWait<v1::GetSessionRequest>);
  methods_.Add("ListSessions", &service_, &Async::RequestListSessions,
               &SessionService::ListSessions,
               &MayAlwaysWait<v1::ListSessionsRequest>);
  methods_.Add("ListSegmentUsers", &service_, &Async::RequestListSegmentUsers,
               &SessionService::ListSegmentUsers,
               &MayAlwaysWait<v1::ListSegmentUsersRequest>);
}

absl::Status SessionService::GetSession(const Caller& caller,
                                        const v1::GetSessionRequest& request,
                                        v1::Session* reply) {
  ASSIGN_OR_RETURN(const SessionId id,
                   ParseSessionName("name", request.name()));
  ASSIGN_OR_RETURN(const SessionSnapshot session, sessions_->Get(caller, id));
  SessionToProto(session, reply);
  return absl::OkStatus();
}

absl::Status SessionService::ListSessions(
    const Caller& caller, const v1::ListSessionsRequest& request,
    v1::ListSessionsResponse* reply) {
  ASSIGN_OR_RETURN(SessionTable::ListQuery query, QueryFromProto(request));
  if (!request.segment().empty()) {
    ASSIGN_OR_RETURN(const SegmentName name,
                     ParseSegmentName("segment", request.segment()));
    ASSIGN_OR_RETURN(const SegmentView view, registry_->Get(caller, name));
    query.holding = view.segment->uid;
  }
  // One more than asked for tells whether there is a next page.
  const size_t limit = query.limit++;
  const std::vector<SessionSnapshot> sessions = sessions_->List(caller, query);
  for (size_t i = 0; i < sessions.size() && i < limit; ++i) {
    SessionToProto(sessions[i], reply->add_sessions());
  }
  if (sessions.size() > limit) {
    reply->set_next_page_token(MakePageToken(
        request.segment(), SessionName(sessions[limit - 1].identity.id)));
  }
  return absl::OkStatus();
}

absl::Status SessionService::ListSegmentUsers(
    const Caller& caller, const v1::ListSegmentUsersRequest& request,
    v1::ListSegmentUsersResponse* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(const SegmentView view, registry_->Get(caller, name));
  if (!MayManage(caller, view.segment->ownership())) {
    return CallerNotAllowed(caller);
  }
  ASSIGN_OR_RETURN(const ObjectRef object, registry_->OpenObject(view));
  ASSIGN_OR_RETURN(const ObjectId id, IdOf(object));
  ASSIGN_OR_RETURN(const ObjectUsers users, FindUsers(id));
  for (const ObjectUser& user : users.users) {
    v1::SegmentUser* const proto = reply->add_users();
    proto->set_pid(user.pid);
    proto->set_uid(user.uid);
    proto->set_command(user.command);
    proto->set_container(user.container);
    proto->set_mapped_bytes(user.mapped_bytes);
    proto->set_writable(user.writable);
    const std::vector<SessionId> sessions = sessions_->OfProcess(user.pid);
    if (!sessions.empty()) proto->set_session(SessionName(sessions.front()));
  }
  reply->set_hidden_processes(users.hidden_processes);
  return absl::OkStatus();
}

}  // namespace shmd
