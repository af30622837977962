#ifndef SHMD_SERVER_RPC_CHANNEL_PROTO_H_
#define SHMD_SERVER_RPC_CHANNEL_PROTO_H_

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/channel/channel.h"
#include "server/channel/channel_registry.h"
#include "server/channel/channel_stats.h"
#include "server/registry/segment_registry.h"
#include "server/session/session.h"
#include "shmd/v1/channel.pb.h"

namespace shmd {

void ChannelToProto(const ChannelSnapshot& channel, v1::Channel* proto);

// All but the handles.
void PublisherToProto(const ChannelName& channel, const MemberView& member,
                      v1::Publisher* proto);
void SubscriberToProto(const ChannelName& channel, const MemberView& member,
                       v1::Subscriber* proto);

void StatsToProto(const ChannelName& channel, const ChannelStats& stats,
                  v1::ChannelStats* proto);

absl::StatusOr<ChannelCommand> ChannelFromProto(
    const Caller& caller, const v1::CreateChannelRequest& request);

absl::StatusOr<JoinCommand> JoinFromProto(
    const v1::CreatePublisherRequest& request);
absl::StatusOr<JoinCommand> JoinFromProto(
    const v1::CreateSubscriberRequest& request);

// Of `session`, unless the request names the same one.
absl::StatusOr<MembershipCommand> MembershipFromProto(
    const Caller& caller, const v1::JoinChannelRequest& request,
    const std::optional<SessionId>& session);
// With the handles of what is theirs.
void JoinedToProto(const SegmentRegistry& segments, const ChannelName& channel,
                   const ChannelRegistry::Joined& joined, v1::Publisher* proto);
void JoinedToProto(const SegmentRegistry& segments, const ChannelName& channel,
                   const ChannelRegistry::Joined& joined,
                   v1::Subscriber* proto);
void MembershipToProto(const SegmentRegistry& segments,
                       const ChannelName& channel,
                       const std::vector<ChannelRegistry::Joined>& members,
                       v1::JoinChannelResponse* proto);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_CHANNEL_PROTO_H_
