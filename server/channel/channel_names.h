#ifndef SHMD_SERVER_CHANNEL_CHANNEL_NAMES_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "server/registry/segment.h"
#include "shm/channel/channel_view.h"

namespace shmd {

inline constexpr size_t kMaxChannelIdBytes = 64;

// namespaces/{name_space}/channels/{id}, parsed.
struct ChannelName {
  std::string name_space;
  std::string id;

  std::string ToString() const;
};

// The same with /publishers/{index}.{generation}, or /subscribers/...
struct MemberName {
  ChannelName channel;
  MemberKind kind = MemberKind::kPublisher;
  uint32_t index = 0;
  uint64_t generation = 0;

  std::string ToString() const;
};

// NAME_INVALID naming `field`.
absl::StatusOr<ChannelName> ParseChannelName(absl::string_view field,
                                             absl::string_view name);
absl::StatusOr<MemberName> ParseMemberName(absl::string_view field,
                                           absl::string_view name,
                                           MemberKind kind);

// CHANNEL_ID_INVALID naming `field` unless `id` may be the last part of a name.
absl::Status CheckChannelId(absl::string_view field, absl::string_view id);

// The segment of a channel's page, and the channel of such a segment.
std::string ChannelSegmentId(absl::string_view channel_id);
std::optional<std::string> ChannelIdOf(absl::string_view segment_id);

// The segment of a member's part says of which channel it is, by the channel's
// generation, and of which member.
struct PartPlace {
  uint64_t channel = 0;
  uint32_t index = 0;
  uint64_t generation = 0;
};
std::string PartSegmentId(SegmentRole role, const PartPlace& place);
std::optional<PartPlace> PartPlaceOf(SegmentRole role,
                                     absl::string_view segment_id);

// CHANNEL_NOT_FOUND and MEMBER_NOT_FOUND (NOT_FOUND).
Error ChannelNotFound(const ChannelName& name);
Error MemberNotFound(const MemberName& name);

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_NAMES_H_
