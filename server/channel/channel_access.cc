#include "server/channel/channel_access.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "server/access/policy.h"

namespace shmd {
namespace {

constexpr unsigned kRead = 04;
constexpr unsigned kWrite = 02;

}  // namespace

absl::Status CheckJoin(const Caller& caller, const ChannelSnapshot& channel,
                       const JoinCommand& command) {
  unsigned wanted = kRead;
  if (command.kind == MemberKind::kPublisher) {
    wanted =
        command.role == layout::MemberRole::kServer ? kRead | kWrite : kWrite;
  } else if (Claims(channel.fields.kind, command.role)) {
    wanted = kRead | kWrite;
  }
  if (ModeAllows(caller, OwnershipOf(channel.fields), wanted))
    return absl::OkStatus();
  return CallerNotAllowed(caller);
}

absl::Status CheckRole(layout::ChannelKind kind, const JoinCommand& command) {
  const char* const resource =
      command.kind == MemberKind::kPublisher ? "publisher" : "subscriber";
  const bool is_call = kind == layout::ChannelKind::kCall;
  if (is_call != (command.role != layout::MemberRole::kPeer)) {
    return InvalidField(absl::StrCat(resource, ".role"), reason::kFieldInvalid,
                        is_call ? "is required in a channel of calls"
                                : "is for channels of calls");
  }
  if (command.kind == MemberKind::kSubscriber &&
      kind != layout::ChannelKind::kPublish &&
      command.policy != layout::SlowPolicy::kBlock) {
    return InvalidField("subscriber.slow_policy", reason::kFieldInvalid,
                        "is only BLOCK where every message counts");
  }
  return absl::OkStatus();
}

GrantRole RoleOf(const JoinCommand& command) {
  switch (command.role) {
    case layout::MemberRole::kClient:
      return GrantRole::kClient;
    case layout::MemberRole::kServer:
      return GrantRole::kServer;
    default:
      return command.kind == MemberKind::kPublisher ? GrantRole::kPublisher
                                                    : GrantRole::kSubscriber;
  }
}

absl::Status CheckGrantRoles(layout::ChannelKind kind, uint32_t roles) {
  constexpr auto kOfCalls = static_cast<uint32_t>(GrantRole::kClient) |
                            static_cast<uint32_t>(GrantRole::kServer);
  const bool is_call = kind == layout::ChannelKind::kCall;
  const uint32_t fitting = is_call ? kOfCalls : kAllGrantRoles & ~kOfCalls;
  if (roles != 0 && (roles & ~fitting) == 0) return absl::OkStatus();
  return InvalidField("grant.roles", reason::kFieldInvalid,
                      is_call ? "is not CLIENT, SERVER, or both"
                              : "is not PUBLISHER, SUBSCRIBER, or both");
}

mode_t PageMode(mode_t channel_mode) {
  return (channel_mode | channel_mode << 1) & 0444;
}

}  // namespace shmd
