#include "client/cpp/channel_convert.h"

#include "client/cpp/proto_convert.h"

namespace shmd {
inline namespace client {
namespace {

v1::Channel::Kind ChannelKindToProto(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::kQueue:
      return v1::Channel::QUEUE;
    case ChannelKind::kCall:
      return v1::Channel::CALL;
    case ChannelKind::kPublish:
      break;
  }
  return v1::Channel::PUBLISH;
}

ChannelKind KindFromProto(v1::Channel::Kind proto) {
  switch (proto) {
    case v1::Channel::QUEUE:
      return ChannelKind::kQueue;
    case v1::Channel::CALL:
      return ChannelKind::kCall;
    default:
      return ChannelKind::kPublish;
  }
}

ChannelRole RoleFromProto(v1::ChannelRole proto) {
  switch (proto) {
    case v1::CLIENT:
      return ChannelRole::kClient;
    case v1::SERVER:
      return ChannelRole::kServer;
    default:
      return ChannelRole::kPeer;
  }
}

SlowPolicy PolicyFromProto(v1::Subscriber::SlowPolicy proto) {
  switch (proto) {
    case v1::Subscriber::DROP_OLDEST:
      return SlowPolicy::kDropOldest;
    case v1::Subscriber::CUT_OFF:
      return SlowPolicy::kCutOff;
    default:
      return SlowPolicy::kBlock;
  }
}

// What publishers and subscribers have alike.
template <typename Proto, typename Stats>
void MemberFromProto(const Proto& proto, pid_t pid, uint32_t uid,
                     Stats* stats) {
  stats->name = proto.name();
  stats->session = proto.session();
  stats->role = RoleFromProto(proto.role());
  stats->pid = pid;
  stats->uid = uid;
}

}  // namespace

const char* ChannelKindName(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::kQueue:
      return "QUEUE";
    case ChannelKind::kCall:
      return "CALL";
    case ChannelKind::kPublish:
      break;
  }
  return "PUBLISH";
}

const char* SlowPolicyName(SlowPolicy policy) {
  switch (policy) {
    case SlowPolicy::kDropOldest:
      return "DROP_OLDEST";
    case SlowPolicy::kCutOff:
      return "CUT_OFF";
    case SlowPolicy::kBlock:
      break;
  }
  return "BLOCK";
}

const char* ChannelRoleName(ChannelRole role) {
  switch (role) {
    case ChannelRole::kClient:
      return "CLIENT";
    case ChannelRole::kServer:
      return "SERVER";
    case ChannelRole::kPeer:
      break;
  }
  return "PEER";
}

const char* ChannelWatchEventTypeName(ChannelWatchEvent::Type type) {
  switch (type) {
    case ChannelWatchEvent::Type::kDeleted:
      return "DELETED";
    case ChannelWatchEvent::Type::kSynced:
      return "SYNCED";
    case ChannelWatchEvent::Type::kRelisted:
      return "RELISTED";
    case ChannelWatchEvent::Type::kChanged:
      break;
  }
  return "CHANGED";
}

void ChannelToProto(const ChannelSpec& spec, v1::Channel* proto) {
  proto->set_kind(ChannelKindToProto(spec.kind));
  proto->set_slots(spec.slots);
  proto->set_payload_bytes(spec.payload_bytes);
  proto->set_history(spec.history);
  proto->set_checksums(spec.checksums);
  if (spec.owner.has_value()) proto->set_owner(*spec.owner);
  if (spec.group.has_value()) proto->set_group(*spec.group);
  if (spec.mode.has_value()) proto->set_mode(*spec.mode);
}

v1::ChannelRole RoleToProto(ChannelRole role) {
  switch (role) {
    case ChannelRole::kClient:
      return v1::CLIENT;
    case ChannelRole::kServer:
      return v1::SERVER;
    case ChannelRole::kPeer:
      break;
  }
  return v1::CHANNEL_ROLE_UNSPECIFIED;
}

v1::Subscriber::SlowPolicy PolicyToProto(SlowPolicy policy) {
  switch (policy) {
    case SlowPolicy::kDropOldest:
      return v1::Subscriber::DROP_OLDEST;
    case SlowPolicy::kCutOff:
      return v1::Subscriber::CUT_OFF;
    case SlowPolicy::kBlock:
      break;
  }
  return v1::Subscriber::BLOCK;
}

Channel ChannelFromProto(const v1::Channel& proto) {
  Channel out;
  out.name = proto.name();
  out.kind = KindFromProto(proto.kind());
  out.slots = proto.slots();
  out.payload_bytes = proto.payload_bytes();
  out.history = proto.history();
  out.checksums = proto.checksums();
  out.owner = proto.owner();
  out.group = proto.group();
  out.mode = proto.mode();
  out.generation = proto.generation();
  out.create_time = TimeFromProto(proto.create_time());
  out.publishers = proto.publisher_count();
  out.subscribers = proto.subscriber_count();
  return out;
}

ChannelStats StatsFromProto(const v1::ChannelStats& proto) {
  ChannelStats out;
  for (const auto& one : proto.publishers()) {
    ChannelStats::PublisherStats& stats = out.publishers.emplace_back();
    MemberFromProto(one.publisher(), one.pid(), one.uid(), &stats);
    stats.published = one.published();
    stats.oldest = one.oldest();
    stats.is_waiting = one.is_waiting();
    stats.has_left = one.has_left();
  }
  for (const auto& one : proto.subscribers()) {
    ChannelStats::SubscriberStats& stats = out.subscribers.emplace_back();
    MemberFromProto(one.subscriber(), one.pid(), one.uid(), &stats);
    stats.policy = PolicyFromProto(one.subscriber().slow_policy());
    stats.lag = one.lag();
    stats.lost = one.lost();
    stats.is_asleep = one.is_asleep();
    stats.is_cut_off = one.is_cut_off();
  }
  return out;
}

ChannelWatchEvent EventFromProto(const v1::WatchChannelsResponse& proto) {
  ChannelWatchEvent event;
  switch (proto.type()) {
    case v1::WatchChannelsResponse::DELETED:
      event.type = ChannelWatchEvent::Type::kDeleted;
      break;
    case v1::WatchChannelsResponse::SYNCED:
      event.type = ChannelWatchEvent::Type::kSynced;
      break;
    default:
      event.type = ChannelWatchEvent::Type::kChanged;
      break;
  }
  if (proto.has_channel()) event.channel = ChannelFromProto(proto.channel());
  return event;
}

}  // namespace client
}  // namespace shmd
