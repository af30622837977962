#include "server/registry/names.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr char kArenaPrefix[] = "shmd.arena.";

bool IsNameByte(char c) {
  return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
}

// The part up to the next slash, which it takes off together with that.
absl::string_view TakePart(absl::string_view& rest) {
  const absl::string_view part = rest.substr(0, rest.find('/'));
  rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  return part;
}

bool IsLabelKey(absl::string_view key) {
  if (key.empty() || key.size() > kMaxLabelKeyBytes) return false;
  if (!absl::ascii_islower(key[0])) return false;
  return std::all_of(key.begin(), key.end(), [](char c) {
    return IsNameByte(c) && !absl::ascii_isupper(c);
  });
}

Error LabelInvalid(absl::string_view why) {
  return InvalidField("segment.labels", reason::kLabelInvalid, why);
}

}  // namespace

bool IsPathSafe(absl::string_view part, size_t max_bytes) {
  return !part.empty() && part.size() <= max_bytes && part != "." &&
         part != ".." && std::all_of(part.begin(), part.end(), IsNameByte);
}

bool SplitName(absl::string_view name, absl::string_view collection,
               size_t max_id_bytes, absl::string_view* name_space,
               absl::string_view* id) {
  *id = name;
  if (TakePart(*id) != "namespaces") return false;
  *name_space = TakePart(*id);
  if (TakePart(*id) != collection) return false;
  // What is left has no slash in it, as no safe part has.
  return IsPathSafe(*name_space, kMaxNamespaceBytes) &&
         IsPathSafe(*id, max_id_bytes);
}

std::string SegmentName::ToString() const {
  return absl::StrCat("namespaces/", name_space, "/segments/", id);
}

absl::StatusOr<SegmentName> ParseSegmentName(absl::string_view field,
                                             absl::string_view name) {
  absl::string_view name_space, id;
  if (!SplitName(name, "segments", kMaxSegmentIdBytes, &name_space, &id)) {
    return absl::StatusOr<SegmentName>(
        InvalidField(field, reason::kNameInvalid,
                     "is not namespaces/{namespace}/segments/{segment}"));
  }
  return SegmentName{std::string(name_space), std::string(id)};
}

std::string ArenaSegmentId(uint32_t number) {
  return absl::StrCat(kArenaPrefix, number);
}

std::optional<uint32_t> ArenaNumberOf(absl::string_view segment_id) {
  uint32_t number = 0;
  if (!absl::ConsumePrefix(&segment_id, kArenaPrefix) ||
      !absl::SimpleAtoi(segment_id, &number) || number == 0 ||
      segment_id != absl::StrCat(number)) {
    return std::nullopt;
  }
  return number;
}

absl::StatusOr<SegmentName> ParseArenaName(absl::string_view field,
                                           absl::string_view name) {
  absl::string_view name_space, number;
  if (SplitName(name, "arenas", kMaxSegmentIdBytes, &name_space, &number)) {
    std::string id = absl::StrCat(kArenaPrefix, number);
    if (ArenaNumberOf(id).has_value()) {
      return SegmentName{std::string(name_space), std::move(id)};
    }
  }
  return absl::StatusOr<SegmentName>(
      InvalidField(field, reason::kNameInvalid,
                   "is not namespaces/{namespace}/arenas/{number}"));
}

absl::StatusOr<std::string> ParseNamespaceName(absl::string_view field,
                                               absl::string_view name) {
  absl::string_view id = name;
  const absl::string_view namespaces = TakePart(id);
  if (namespaces != "namespaces" || !IsPathSafe(id, kMaxNamespaceBytes)) {
    return absl::StatusOr<std::string>(InvalidField(
        field, reason::kNameInvalid, "is not namespaces/{namespace}"));
  }
  return std::string(id);
}

absl::Status CheckSegmentId(absl::string_view field, absl::string_view id) {
  if (!IsPathSafe(id, kMaxSegmentIdBytes)) {
    return InvalidField(field, reason::kSegmentIdInvalid,
                        "is not 1 to 128 of [A-Za-z0-9._-], or is . or ..");
  }
  if (absl::StartsWith(id, kReservedIdPrefix)) {
    return InvalidField(field, reason::kSegmentIdInvalid,
                        "begins with shmd., as only the daemon's own do");
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const std::map<std::string, std::string>& labels) {
  if (labels.size() > kMaxLabels) {
    return LabelInvalid("has more than 64 labels")
        .With("labels", labels.size());
  }
  for (const auto& [key, value] : labels) {
    if (!IsLabelKey(key)) {
      return LabelInvalid("a key is not 1 to 63 of [a-z0-9_.-], from a letter")
          .With("key", Excerpt(key, kMaxLabelKeyBytes + 1));
    }
    if (value.size() > kMaxLabelValueBytes) {
      return LabelInvalid("a value has more than 255 bytes").With("key", key);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRequestId(absl::string_view request_id) {
  if (request_id.size() <= kMaxRequestIdBytes &&
      std::all_of(request_id.begin(), request_id.end(), absl::ascii_isprint)) {
    return absl::OkStatus();
  }
  return InvalidField("request_id", reason::kRequestIdInvalid,
                      "is not at most 64 printable ASCII characters");
}

}  // namespace shmd
