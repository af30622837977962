#include <algorithm>

#include "client/cpp/proto_convert.h"

// Sessions, grants and orphans, from their messages.

namespace shmd {
inline namespace client {

const char* SessionStateName(SessionState state) {
  switch (state) {
    case SessionState::kConnected:
      return "CONNECTED";
    case SessionState::kAwaited:
      return "AWAITED";
    case SessionState::kUnspecified:
      break;
  }
  return "STATE_UNSPECIFIED";
}

Orphan OrphanFromProto(const v1::Orphan& orphan) {
  Orphan out;
  out.name = orphan.name();
  out.backend = BackendFromProto(orphan.backend());
  out.location = orphan.location();
  out.resident_bytes = orphan.resident_bytes();
  out.size_bytes = orphan.size_bytes();
  out.page_size_bytes = orphan.page_size_bytes();
  out.owner = orphan.owner();
  out.mode = orphan.mode();
  out.last_use_time = TimeFromProto(orphan.last_use_time());
  out.creator_pid = orphan.creator_pid();
  out.creator_alive = orphan.creator_alive();
  out.evidence.assign(orphan.evidence().begin(), orphan.evidence().end());
  out.hidden_processes = orphan.hidden_processes();
  out.etag = orphan.etag();
  return out;
}

Session SessionFromProto(const v1::Session& session) {
  Session out;
  out.name = session.name();
  if (session.state() == v1::Session::CONNECTED) {
    out.state = SessionState::kConnected;
  } else if (session.state() == v1::Session::AWAITED) {
    out.state = SessionState::kAwaited;
  }
  out.uid = session.uid();
  out.gid = session.gid();
  out.pid = session.pid();
  out.command = session.command();
  out.create_time = TimeFromProto(session.create_time());
  for (const v1::Holding& holding : session.holdings()) {
    Holding one;
    one.segment = holding.segment();
    one.generation = holding.generation();
    one.access =
        holding.access() == v1::READ_WRITE ? Access::kReadWrite : Access::kRead;
    one.size_bytes = holding.size_bytes();
    one.attach_time = TimeFromProto(holding.attach_time());
    out.holdings.push_back(std::move(one));
  }
  out.holding_count = session.holding_count();
  out.held_bytes = session.held_bytes();
  out.owned_segment_count = session.owned_segment_count();
  out.name_space = session.namespace_();
  return out;
}

const char* GrantRoleName(GrantRole role) {
  switch (role) {
    case GrantRole::kPublisher:
      return "PUBLISHER";
    case GrantRole::kSubscriber:
      return "SUBSCRIBER";
    case GrantRole::kClient:
      return "CLIENT";
    case GrantRole::kServer:
      break;
  }
  return "SERVER";
}

v1::Grant GrantToProto(const GrantSpec& spec) {
  v1::Grant out;
  for (const GrantRole role : spec.roles) {
    v1::Grant::Role number = v1::Grant::ROLE_UNSPECIFIED;
    v1::Grant::Role_Parse(GrantRoleName(role), &number);
    out.add_roles(number);
  }
  if (spec.roles.empty()) {
    out.set_access(spec.access == Access::kReadWrite ? v1::READ_WRITE
                                                     : v1::READ);
  }
  if (spec.ttl.has_value()) {
    *out.mutable_ttl() = DurationToProto(*spec.ttl);
  } else if (spec.expire_time.has_value()) {
    *out.mutable_expire_time() = TimestampToProto(*spec.expire_time);
  }
  out.set_max_uses(spec.max_uses);
  if (spec.uid.has_value()) out.set_uid(*spec.uid);
  return out;
}

Grant GrantFromProto(const v1::Grant& grant) {
  Grant out;
  out.name = grant.name();
  out.access =
      grant.access() == v1::READ_WRITE ? Access::kReadWrite : Access::kRead;
  for (const GrantRole role : {GrantRole::kPublisher, GrantRole::kSubscriber,
                               GrantRole::kClient, GrantRole::kServer}) {
    const auto has_role = [role](int number) {
      return v1::Grant::Role_Name(number) == GrantRoleName(role);
    };
    if (std::any_of(grant.roles().begin(), grant.roles().end(), has_role)) {
      out.roles.push_back(role);
    }
  }
  if (grant.has_expire_time()) {
    out.expire_time = TimeFromProto(grant.expire_time());
  }
  out.max_uses = grant.max_uses();
  if (grant.has_uid()) out.uid = grant.uid();
  out.uses = grant.uses();
  out.create_time = TimeFromProto(grant.create_time());
  return out;
}

SegmentUsers SegmentUsersFromProto(const v1::ListSegmentUsersResponse& reply) {
  SegmentUsers out;
  out.hidden_processes = reply.hidden_processes();
  for (const v1::SegmentUser& user : reply.users()) {
    SegmentUser one;
    one.pid = user.pid();
    one.uid = user.uid();
    one.command = user.command();
    one.container = user.container();
    one.mapped_bytes = user.mapped_bytes();
    one.writable = user.writable();
    one.session = user.session();
    out.users.push_back(std::move(one));
  }
  return out;
}

}  // namespace client
}  // namespace shmd
