#include "server/rpc/grant_names.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr absl::string_view kMiddle = "/grants/";

}  // namespace

std::string GrantName::ToString() const {
  return absl::StrCat(
      std::visit([](const auto& name) { return name.ToString(); }, parent),
      kMiddle, id);
}

absl::StatusOr<GrantParent> ParseGrantParent(absl::string_view field,
                                             absl::string_view name) {
  absl::StatusOr<SegmentName> segment = ParseSegmentName(field, name);
  if (segment.ok()) return GrantParent(*std::move(segment));
  absl::StatusOr<ChannelName> channel = ParseChannelName(field, name);
  if (channel.ok()) return GrantParent(*std::move(channel));
  return absl::StatusOr<GrantParent>(
      InvalidField(field, reason::kNameInvalid,
                   "is not namespaces/{namespace}/segments/{segment}, nor "
                   "namespaces/{namespace}/channels/{channel}"));
}

absl::StatusOr<GrantName> ParseGrantName(absl::string_view field,
                                         absl::string_view name) {
  const size_t middle = name.rfind(kMiddle);
  if (middle != absl::string_view::npos) {
    const absl::string_view id = name.substr(middle + kMiddle.size());
    absl::StatusOr<GrantParent> parent =
        ParseGrantParent(field, name.substr(0, middle));
    if (parent.ok() && IsPathSafe(id, kMaxSegmentIdBytes)) {
      return GrantName{*std::move(parent), std::string(id)};
    }
  }
  return absl::StatusOr<GrantName>(InvalidField(
      field, reason::kNameInvalid,
      "is not namespaces/{namespace}/segments/{segment}/grants/{grant}, nor "
      "that of a channel"));
}

}  // namespace shmd
