#ifndef SHMD_CLIENT_CPP_CHANNEL_CONVERT_H_
#define SHMD_CLIENT_CPP_CHANNEL_CONVERT_H_

#include "client/cpp/channel.h"
#include "shmd/v1/channel.pb.h"

namespace shmd {
inline namespace client {

// Channels as messages and back. Values that this version does not know become
// the first ones.

void ChannelToProto(const ChannelSpec& spec, v1::Channel* proto);
v1::ChannelRole RoleToProto(ChannelRole role);
v1::Subscriber::SlowPolicy PolicyToProto(SlowPolicy policy);

Channel ChannelFromProto(const v1::Channel& proto);
ChannelStats StatsFromProto(const v1::ChannelStats& proto);
ChannelWatchEvent EventFromProto(const v1::WatchChannelsResponse& proto);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CHANNEL_CONVERT_H_
