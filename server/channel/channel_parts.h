#ifndef SHMD_SERVER_CHANNEL_CHANNEL_PARTS_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_PARTS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/channel/channel.h"
#include "server/channel/live_channel.h"
#include "server/registry/segment_registry.h"

namespace shmd {

// The segments that channels are made of.

// One for a channel's page, still empty. CHANNEL_EXISTS, and what a create of a
// segment can be refused with.
absl::StatusOr<SegmentView> MakeChannelPage(SegmentRegistry* segments,
                                            const Caller& caller,
                                            const ChannelCommand& command);

// Those of a member that is about to take part: all or none, and its session's.
absl::StatusOr<MemberParts> MakeMemberParts(SegmentRegistry* segments,
                                            const Caller& caller,
                                            const LiveChannel& channel,
                                            const MemberView& member);

// Writes what their first reader has to find there.
absl::Status FormatMemberParts(SegmentRegistry* segments,
                               const LiveChannel& channel,
                               const MemberView& member,
                               const MemberParts& parts);

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_PARTS_H_
