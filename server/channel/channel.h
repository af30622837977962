#ifndef SHMD_SERVER_CHANNEL_CHANNEL_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/access/policy.h"
#include "server/channel/channel_names.h"
#include "server/registry/grant_table.h"
#include "server/registry/segment_entry.h"
#include "server/session/session.h"
#include "shm/channel/channel_format.h"
#include "shm/handle.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// Channels as the rest of the daemon sees them: plain values.

// Of one namespace.
inline constexpr size_t kMaxChannels = 4096;

// Whether one channel is as good as the other.
inline bool AreAlike(const ChannelFields& a, const ChannelFields& b) {
  return a.kind == b.kind && a.slots == b.slots && a.history == b.history &&
         a.payload_bytes == b.payload_bytes && a.checksums == b.checksums;
}

inline Ownership OwnershipOf(const ChannelFields& fields) {
  return {fields.owner, fields.group, fields.mode};
}

// What a channel is to be.
struct ChannelCommand {
  ChannelName name;
  ChannelFields fields;
  bool allow_existing = false;
};

// A channel at one moment.
struct ChannelSnapshot {
  ChannelName name;
  ChannelFields fields;
  uint32_t publishers = 0;
  uint32_t subscribers = 0;
};

// Who is to take part, and as what.
struct JoinCommand {
  ChannelName channel;
  SessionId session = {};
  MemberKind kind = MemberKind::kPublisher;
  layout::MemberRole role = layout::MemberRole::kPeer;
  layout::SlowPolicy policy = layout::SlowPolicy::kNone;  // of subscribers
  std::optional<Handle> grant;  // lets in whom the mode would not
  uint64_t request = 0;         // a digest of the request's id; 0: it has none
};

// Who is to take part at once, in a channel that may have to be made first.
struct MembershipCommand {
  std::optional<ChannelCommand> create;
  std::vector<JoinCommand> members;  // of one session and channel
};

// Who takes part.
struct MemberView {
  MemberKind kind = MemberKind::kPublisher;
  uint32_t index = 0;
  uint64_t generation = 0;
  layout::MemberRole role = layout::MemberRole::kPeer;
  layout::SlowPolicy policy = layout::SlowPolicy::kNone;
  SessionId session = {};
  uid_t uid = 0;
  pid_t pid = 0;
  // Of who has used a grant; not remembered over a restart.
  std::optional<GrantKey> grant;
  uint64_t request = 0;  // of its JoinCommand
  // Of a publisher that does not take part any more, but stays on the page
  // until all have opened its ring who were there before it.
  bool has_left = false;
};

inline MemberId IdOf(const MemberView& view) {
  return {view.index, view.generation};
}

// The segments that a member's session owns.
struct MemberParts {
  SegmentView part;                   // ring, or page
  std::optional<SegmentView> claims;  // on the ring
};

// Whether the rings of publishers in `publisher`'s role are for subscribers in
// `subscriber`'s.
inline bool ReadsFrom(layout::MemberRole subscriber,
                      layout::MemberRole publisher) {
  return subscriber == layout::MemberRole::kPeer || subscriber != publisher;
}

// Whether a subscriber claims messages.
inline bool Claims(layout::ChannelKind kind, layout::MemberRole subscriber) {
  return kind == layout::ChannelKind::kQueue ||
         subscriber == layout::MemberRole::kServer;
}

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_H_
