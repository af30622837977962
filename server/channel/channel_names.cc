#include "server/channel/channel_names.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error_reason.h"
#include "server/registry/names.h"
#include "shm/layout/channel_layout.h"

namespace shmd {
namespace {

constexpr char kChannelPrefix[] = "shmd.channel.";

absl::string_view CollectionOf(MemberKind kind) {
  return kind == MemberKind::kPublisher ? "/publishers/" : "/subscribers/";
}

absl::string_view PrefixOf(SegmentRole role) {
  switch (role) {
    case SegmentRole::kRing:
      return "shmd.ring.";
    case SegmentRole::kReaderPage:
      return "shmd.reader.";
    case SegmentRole::kClaims:
      return "shmd.claims.";
    default:
      return "";
  }
}

// A number as it is written, and not otherwise.
template <typename Number>
bool ReadNumber(absl::string_view text, Number* number) {
  return absl::SimpleAtoi(text, number) && text == absl::StrCat(*number);
}

bool ReadMember(absl::string_view text, uint32_t* index, uint64_t* generation) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('.', 1));
  return ReadNumber(parts.first, index) &&
         ReadNumber(parts.second, generation) &&
         *index < layout::kMaxPublishers && *generation != 0;
}

}  // namespace

std::string ChannelName::ToString() const {
  return absl::StrCat("namespaces/", name_space, "/channels/", id);
}

std::string MemberName::ToString() const {
  return absl::StrCat(channel.ToString(), CollectionOf(kind), index, ".",
                      generation);
}

absl::StatusOr<ChannelName> ParseChannelName(absl::string_view field,
                                             absl::string_view name) {
  absl::string_view name_space, id;
  if (SplitName(name, "channels", kMaxChannelIdBytes, &name_space, &id)) {
    return ChannelName{std::string(name_space), std::string(id)};
  }
  return absl::StatusOr<ChannelName>(
      InvalidField(field, reason::kNameInvalid,
                   "is not namespaces/{namespace}/channels/{channel}"));
}

absl::StatusOr<MemberName> ParseMemberName(absl::string_view field,
                                           absl::string_view name,
                                           MemberKind kind) {
  const absl::string_view middle = CollectionOf(kind);
  const size_t at = name.rfind(middle);
  if (at != absl::string_view::npos) {
    absl::StatusOr<ChannelName> channel =
        ParseChannelName(field, name.substr(0, at));
    MemberName member;
    if (channel.ok() && ReadMember(name.substr(at + middle.size()),
                                   &member.index, &member.generation)) {
      member.channel = *std::move(channel);
      member.kind = kind;
      return member;
    }
  }
  return absl::StatusOr<MemberName>(InvalidField(
      field, reason::kNameInvalid,
      absl::StrCat("is not namespaces/{namespace}/channels/{channel}", middle,
                   "{index}.{generation}")));
}

absl::Status CheckChannelId(absl::string_view field, absl::string_view id) {
  if (IsPathSafe(id, kMaxChannelIdBytes)) return absl::OkStatus();
  return InvalidField(field, reason::kChannelIdInvalid,
                      "is not 1 to 64 of [A-Za-z0-9._-], or is . or ..");
}

std::string ChannelSegmentId(absl::string_view channel_id) {
  return absl::StrCat(kChannelPrefix, channel_id);
}

std::optional<std::string> ChannelIdOf(absl::string_view segment_id) {
  if (!absl::ConsumePrefix(&segment_id, kChannelPrefix) ||
      !IsPathSafe(segment_id, kMaxChannelIdBytes)) {
    return std::nullopt;
  }
  return std::string(segment_id);
}

std::string PartSegmentId(SegmentRole role, const PartPlace& place) {
  return absl::StrCat(PrefixOf(role), place.channel, ".", place.index, ".",
                      place.generation);
}

std::optional<PartPlace> PartPlaceOf(SegmentRole role,
                                     absl::string_view segment_id) {
  PartPlace place;
  if (!absl::ConsumePrefix(&segment_id, PrefixOf(role))) return std::nullopt;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(segment_id, absl::MaxSplits('.', 1));
  if (!ReadNumber(parts.first, &place.channel) ||
      !ReadMember(parts.second, &place.index, &place.generation)) {
    return std::nullopt;
  }
  return place;
}

Error ChannelNotFound(const ChannelName& name) {
  return Error(absl::StatusCode::kNotFound, reason::kChannelNotFound,
               "there is no such channel")
      .With("name", name.ToString());
}

Error MemberNotFound(const MemberName& name) {
  return Error(absl::StatusCode::kNotFound, reason::kMemberNotFound,
               "nobody of that generation takes part there")
      .With("name", name.ToString());
}

}  // namespace shmd
