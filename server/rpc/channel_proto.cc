#include "server/rpc/channel_proto.h"

#include <sodium.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/registry/names.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/time_to_proto.h"
#include "server/session/session.h"
#include "shm/handle.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::MemberRole;
using layout::SlowPolicy;

v1::ChannelRole RoleToProto(MemberRole role) {
  switch (role) {
    case MemberRole::kClient:
      return v1::CLIENT;
    case MemberRole::kServer:
      return v1::SERVER;
    default:
      return v1::CHANNEL_ROLE_UNSPECIFIED;
  }
}

v1::Subscriber::SlowPolicy PolicyToProto(SlowPolicy policy) {
  switch (policy) {
    case SlowPolicy::kDropOldest:
      return v1::Subscriber::DROP_OLDEST;
    case SlowPolicy::kCutOff:
      return v1::Subscriber::CUT_OFF;
    default:
      return v1::Subscriber::BLOCK;
  }
}

v1::Channel::Kind KindToProto(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::kQueue:
      return v1::Channel::QUEUE;
    case ChannelKind::kCall:
      return v1::Channel::CALL;
    default:
      return v1::Channel::PUBLISH;
  }
}

absl::StatusOr<ChannelKind> KindFromProto(const std::string& at,
                                          v1::Channel::Kind kind) {
  switch (kind) {
    case v1::Channel::KIND_UNSPECIFIED:
    case v1::Channel::PUBLISH:
      return ChannelKind::kPublish;
    case v1::Channel::QUEUE:
      return ChannelKind::kQueue;
    case v1::Channel::CALL:
      return ChannelKind::kCall;
    default:
      return absl::StatusOr<ChannelKind>(UnknownNumber(at + ".kind"));
  }
}

absl::StatusOr<MemberRole> RoleFromProto(absl::string_view field,
                                         v1::ChannelRole role) {
  switch (role) {
    case v1::CHANNEL_ROLE_UNSPECIFIED:
      return MemberRole::kPeer;
    case v1::CLIENT:
      return MemberRole::kClient;
    case v1::SERVER:
      return MemberRole::kServer;
    default:
      return absl::StatusOr<MemberRole>(UnknownNumber(field));
  }
}

absl::StatusOr<SlowPolicy> PolicyFromProto(v1::Subscriber::SlowPolicy policy) {
  switch (policy) {
    case v1::Subscriber::SLOW_POLICY_UNSPECIFIED:
    case v1::Subscriber::BLOCK:
      return SlowPolicy::kBlock;
    case v1::Subscriber::DROP_OLDEST:
      return SlowPolicy::kDropOldest;
    case v1::Subscriber::CUT_OFF:
      return SlowPolicy::kCutOff;
    default:
      return absl::StatusOr<SlowPolicy>(
          UnknownNumber("subscriber.slow_policy"));
  }
}

// A field of the channel's, as the request has it in `at`.
absl::Status OfChannel(const absl::Status& status, absl::string_view at) {
  if (status.ok()) return status;
  ErrorDetail detail = GetErrorDetail(status);
  detail.field = absl::StrCat(at, ".", detail.field);
  return WithErrorDetail(status, detail);
}

absl::StatusOr<Handle> GrantFromText(const std::string& text) {
  ASSIGN_OR_RETURN(Handle handle, DecodeHandle(text));
  if (handle.grant.has_value()) return handle;
  return absl::StatusOr<Handle>(InvalidField(
      "grant_handle", reason::kHandleInvalid, "has no grant's secret"));
}

absl::StatusOr<ChannelFields> FieldsFromProto(const Caller& caller,
                                              const v1::Channel& channel,
                                              const std::string& at) {
  ChannelFields fields;
  ASSIGN_OR_RETURN(fields.kind, KindFromProto(at, channel.kind()));
  if (channel.slots() != 0) fields.slots = channel.slots();
  if (channel.payload_bytes() != 0) {
    fields.payload_bytes = channel.payload_bytes();
  }
  fields.history = channel.history();
  fields.checksums = channel.checksums();
  fields.owner = channel.has_owner() ? channel.owner() : caller.uid;
  fields.group = channel.has_group() ? channel.group() : caller.gid;
  RETURN_IF_ERROR(CheckId(at + ".owner", fields.owner));
  RETURN_IF_ERROR(CheckId(at + ".group", fields.group));
  if (channel.has_mode()) fields.mode = channel.mode();
  RETURN_IF_ERROR(CheckMode(at + ".mode", fields.mode));
  RETURN_IF_ERROR(OfChannel(CheckChannelFields(fields), at));
  return fields;
}

// What a repeated request is known by; 0 for none. It is kept in the channel's
// page, which the next run of the daemon reads too.
absl::StatusOr<uint64_t> DigestOf(const std::string& request_id) {
  RETURN_IF_ERROR(CheckRequestId(request_id));
  if (request_id.empty()) return 0;
  constexpr unsigned char kKey[crypto_shorthash_KEYBYTES] = {};
  uint64_t digest = 0;
  static_assert(sizeof(digest) == crypto_shorthash_BYTES);
  crypto_shorthash(reinterpret_cast<unsigned char*>(&digest),
                   reinterpret_cast<const unsigned char*>(request_id.data()),
                   request_id.size(), kKey);
  return digest != 0 ? digest : 1;
}

absl::Status ReadPublisher(const v1::Publisher& publisher,
                           JoinCommand* command) {
  command->kind = MemberKind::kPublisher;
  command->policy = SlowPolicy::kNone;
  ASSIGN_OR_RETURN(command->role,
                   RoleFromProto("publisher.role", publisher.role()));
  return absl::OkStatus();
}

absl::Status ReadSubscriber(const v1::Subscriber& subscriber,
                            JoinCommand* command) {
  command->kind = MemberKind::kSubscriber;
  ASSIGN_OR_RETURN(command->role,
                   RoleFromProto("subscriber.role", subscriber.role()));
  ASSIGN_OR_RETURN(command->policy, PolicyFromProto(subscriber.slow_policy()));
  return absl::OkStatus();
}

// What every request to join has beside channel and session.
template <typename Request>
absl::Status ReadEntrance(const Request& request, JoinCommand* command) {
  if (!request.grant_handle().empty()) {
    ASSIGN_OR_RETURN(command->grant, GrantFromText(request.grant_handle()));
  }
  ASSIGN_OR_RETURN(command->request, DigestOf(request.request_id()));
  return absl::OkStatus();
}

// Who takes part in what.
template <typename Request>
absl::StatusOr<JoinCommand> ReadMember(const Request& request) {
  JoinCommand command;
  ASSIGN_OR_RETURN(command.channel,
                   ParseChannelName("parent", request.parent()));
  ASSIGN_OR_RETURN(command.session,
                   ParseSessionName("session", request.session()));
  RETURN_IF_ERROR(ReadEntrance(request, &command));
  return command;
}

template <typename Proto>
void FillMember(const ChannelName& channel, const MemberView& member,
                Proto* proto) {
  proto->set_name(
      MemberName{channel, member.kind, member.index, member.generation}
          .ToString());
  proto->set_index(member.index);
  proto->set_generation(member.generation);
  proto->set_session(SessionName(member.session));
  proto->set_role(RoleToProto(member.role));
}

}  // namespace

void ChannelToProto(const ChannelSnapshot& channel, v1::Channel* proto) {
  const ChannelFields& fields = channel.fields;
  proto->set_name(channel.name.ToString());
  proto->set_kind(KindToProto(fields.kind));
  proto->set_slots(fields.slots);
  proto->set_payload_bytes(fields.payload_bytes);
  proto->set_history(fields.history);
  proto->set_checksums(fields.checksums);
  proto->set_owner(fields.owner);
  proto->set_group(fields.group);
  proto->set_mode(fields.mode);
  proto->set_generation(fields.generation);
  TimeToProto(absl::FromUnixNanos(static_cast<int64_t>(fields.create_time_ns)),
              proto->mutable_create_time());
  proto->set_publisher_count(channel.publishers);
  proto->set_subscriber_count(channel.subscribers);
}

void PublisherToProto(const ChannelName& channel, const MemberView& member,
                      v1::Publisher* proto) {
  FillMember(channel, member, proto);
}

void SubscriberToProto(const ChannelName& channel, const MemberView& member,
                       v1::Subscriber* proto) {
  FillMember(channel, member, proto);
  proto->set_slow_policy(PolicyToProto(member.policy));
}

void StatsToProto(const ChannelName& channel, const ChannelStats& stats,
                  v1::ChannelStats* proto) {
  for (const PublisherStats& one : stats.publishers) {
    v1::ChannelStats::PublisherStats* const to = proto->add_publishers();
    PublisherToProto(channel, one.publisher, to->mutable_publisher());
    to->set_pid(one.publisher.pid);
    to->set_uid(one.publisher.uid);
    to->set_published(one.published);
    to->set_oldest(one.oldest);
    to->set_is_waiting(one.is_waiting);
    to->set_has_left(one.publisher.has_left);
  }
  for (const SubscriberStats& one : stats.subscribers) {
    v1::ChannelStats::SubscriberStats* const to = proto->add_subscribers();
    SubscriberToProto(channel, one.subscriber, to->mutable_subscriber());
    to->set_pid(one.subscriber.pid);
    to->set_uid(one.subscriber.uid);
    to->set_lag(one.lag);
    to->set_lost(one.lost);
    to->set_is_asleep(one.is_asleep);
    to->set_is_cut_off(one.is_cut_off);
  }
}

absl::StatusOr<ChannelCommand> ChannelFromProto(
    const Caller& caller, const v1::CreateChannelRequest& request) {
  ChannelCommand command;
  ASSIGN_OR_RETURN(command.name.name_space,
                   ParseNamespaceName("parent", request.parent()));
  RETURN_IF_ERROR(CheckChannelId("channel_id", request.channel_id()));
  command.name.id = request.channel_id();
  command.allow_existing = request.allow_existing();
  ASSIGN_OR_RETURN(command.fields,
                   FieldsFromProto(caller, request.channel(), "channel"));
  return command;
}

absl::StatusOr<JoinCommand> JoinFromProto(
    const v1::CreatePublisherRequest& request) {
  ASSIGN_OR_RETURN(JoinCommand command, ReadMember(request));
  RETURN_IF_ERROR(ReadPublisher(request.publisher(), &command));
  return command;
}

absl::StatusOr<JoinCommand> JoinFromProto(
    const v1::CreateSubscriberRequest& request) {
  ASSIGN_OR_RETURN(JoinCommand command, ReadMember(request));
  RETURN_IF_ERROR(ReadSubscriber(request.subscriber(), &command));
  return command;
}

absl::StatusOr<MembershipCommand> MembershipFromProto(
    const Caller& caller, const v1::JoinChannelRequest& request,
    const std::optional<SessionId>& session) {
  JoinCommand member;
  ASSIGN_OR_RETURN(member.channel, ParseChannelName("name", request.name()));
  if (!session.has_value() || !request.session().empty()) {
    ASSIGN_OR_RETURN(member.session,
                     ParseSessionName("session", request.session()));
  }
  if (session.has_value()) {
    if (!request.session().empty() && member.session != *session) {
      return SessionNotFound(member.session);
    }
    member.session = *session;
  }
  RETURN_IF_ERROR(ReadEntrance(request, &member));
  MembershipCommand command;
  if (request.has_create()) {
    command.create.emplace();
    command.create->name = member.channel;
    command.create->allow_existing = true;
    ASSIGN_OR_RETURN(command.create->fields,
                     FieldsFromProto(caller, request.create(), "create"));
  }
  // First what gets the others' messages, so that none is missed.
  if (request.has_subscriber()) {
    RETURN_IF_ERROR(ReadSubscriber(request.subscriber(), &member));
    command.members.push_back(member);
  }
  if (request.has_publisher()) {
    RETURN_IF_ERROR(ReadPublisher(request.publisher(), &member));
    command.members.push_back(member);
  }
  if (command.members.empty()) {
    return InvalidField("publisher", reason::kFieldInvalid,
                        "is required unless there is a subscriber");
  }
  return command;
}

void JoinedToProto(const SegmentRegistry& segments, const ChannelName& channel,
                   const ChannelRegistry::Joined& joined,
                   v1::Publisher* proto) {
  PublisherToProto(channel, joined.member, proto);
  proto->set_channel_handle(
      EncodeHandle(segments.OwnHandle(joined.channel, Access::kRead)));
  proto->set_ring_handle(
      EncodeHandle(segments.OwnHandle(joined.parts.part, Access::kReadWrite)));
  if (joined.parts.claims.has_value()) {
    proto->set_claims_handle(EncodeHandle(
        segments.OwnHandle(*joined.parts.claims, Access::kReadWrite)));
  }
}

void JoinedToProto(const SegmentRegistry& segments, const ChannelName& channel,
                   const ChannelRegistry::Joined& joined,
                   v1::Subscriber* proto) {
  SubscriberToProto(channel, joined.member, proto);
  proto->set_channel_handle(
      EncodeHandle(segments.OwnHandle(joined.channel, Access::kRead)));
  proto->set_page_handle(
      EncodeHandle(segments.OwnHandle(joined.parts.part, Access::kReadWrite)));
}

void MembershipToProto(const SegmentRegistry& segments,
                       const ChannelName& channel,
                       const std::vector<ChannelRegistry::Joined>& members,
                       v1::JoinChannelResponse* proto) {
  for (const ChannelRegistry::Joined& joined : members) {
    if (joined.member.kind == MemberKind::kPublisher) {
      JoinedToProto(segments, channel, joined, proto->mutable_publisher());
    } else {
      JoinedToProto(segments, channel, joined, proto->mutable_subscriber());
    }
  }
}

}  // namespace shmd
