#ifndef SHMD_SERVER_CHANNEL_CHANNEL_ACCESS_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_ACCESS_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "server/access/caller.h"
#include "server/channel/channel.h"

namespace shmd {

// CALLER_NOT_ALLOWED unless the channel's mode lets the caller take part so: to
// subscribe is to read, to publish is to write, and to take messages from
// others, as consumers and servers do, is both.
absl::Status CheckJoin(const Caller& caller, const ChannelSnapshot& channel,
                       const JoinCommand& command);

// FIELD_INVALID naming a field, for a role or policy that is not the kind's.
absl::Status CheckRole(layout::ChannelKind kind, const JoinCommand& command);

// What a grant has to let do for that.
GrantRole RoleOf(const JoinCommand& command);

// FIELD_INVALID for GrantRoles that are none, or not those of the kind.
absl::Status CheckGrantRoles(layout::ChannelKind kind, uint32_t roles);

// The mode of a channel's page: everybody who may take part reads it.
mode_t PageMode(mode_t channel_mode);

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_ACCESS_H_
