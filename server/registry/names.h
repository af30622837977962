#ifndef SHMD_SERVER_REGISTRY_NAMES_H_
#define SHMD_SERVER_REGISTRY_NAMES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/types.h"

namespace shmd {

inline constexpr char kDefaultNamespace[] = "default";
inline constexpr size_t kMaxSegmentIdBytes = 128;
// Of the segments that the daemon makes for itself.
inline constexpr char kReservedIdPrefix[] = "shmd.";
inline constexpr size_t kMaxLabels = 64;
inline constexpr size_t kMaxLabelKeyBytes = 63;
inline constexpr size_t kMaxLabelValueBytes = 255;
inline constexpr size_t kMaxRequestIdBytes = 64;

// Whether a part of a name has 1 to `max_bytes` of [A-Za-z0-9._-] and is
// neither . nor ..
bool IsPathSafe(absl::string_view part, size_t max_bytes);

// Splits `namespaces/{name_space}/{collection}/{id}`; false for anything else.
bool SplitName(absl::string_view name, absl::string_view collection,
               size_t max_id_bytes, absl::string_view* name_space,
               absl::string_view* id);

// namespaces/{name_space}/segments/{id}, parsed: neither part can hold a slash
// or be "..".
struct SegmentName {
  std::string name_space;
  std::string id;

  std::string ToString() const;
};

// Both return INVALID_ARGUMENT (NAME_INVALID) naming `field`.
absl::StatusOr<SegmentName> ParseSegmentName(absl::string_view field,
                                             absl::string_view name);
// The namespace of "namespaces/{namespace}".
absl::StatusOr<std::string> ParseNamespaceName(absl::string_view field,
                                               absl::string_view name);

// The segment of arena `number`, and of
// namespaces/{name_space}/arenas/{number}: NAME_INVALID naming `field`.
std::string ArenaSegmentId(uint32_t number);
absl::StatusOr<SegmentName> ParseArenaName(absl::string_view field,
                                           absl::string_view name);
// The reverse of ArenaSegmentId; nullopt for other segments.
std::optional<uint32_t> ArenaNumberOf(absl::string_view segment_id);

// SEGMENT_ID_INVALID unless `id` may be the last part of a name that somebody
// chose.
absl::Status CheckSegmentId(absl::string_view field, absl::string_view id);

// LABEL_INVALID, naming the key.
absl::Status CheckLabels(const std::map<std::string, std::string>& labels);

// REQUEST_ID_INVALID.
absl::Status CheckRequestId(absl::string_view request_id);

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_NAMES_H_
