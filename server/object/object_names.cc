#include "server/object/object_names.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "server/registry/names.h"

namespace shmd {

std::string ObjectNameOf(absl::string_view name_space, const NameKey& id) {
  return absl::StrCat("namespaces/", name_space, "/objects/", id.id());
}

absl::StatusOr<ParsedObjectName> ParseObjectName(absl::string_view field,
                                                 absl::string_view name) {
  absl::string_view name_space, id;
  if (SplitName(name, "objects", layout::kMaxObjectIdBytes, &name_space, &id)) {
    return ParsedObjectName{std::string(name_space), *NameKey::Of(id)};
  }
  return absl::StatusOr<ParsedObjectName>(
      InvalidField(field, reason::kNameInvalid,
                   "is not namespaces/{namespace}/objects/{object}"));
}

absl::StatusOr<NameKey> ParseObjectId(absl::string_view field,
                                      absl::string_view id) {
  if (IsPathSafe(id, layout::kMaxObjectIdBytes)) return *NameKey::Of(id);
  return absl::StatusOr<NameKey>(
      InvalidField(field, reason::kObjectIdInvalid,
                   "is not 1 to 64 of [A-Za-z0-9._-], or is . or .."));
}

absl::StatusOr<NameKey> ReadObjectId(const uint64_t (&words)[8],
                                     uint32_t length) {
  char bytes[sizeof(words)];
  std::memcpy(bytes, words, sizeof(bytes));
  // Made anew, so that what stands behind the last byte does not count.
  return ParseObjectId(
      "name", absl::string_view(bytes, length <= sizeof(bytes) ? length : 0));
}

Error ObjectNotFound(const NameKey& name) {
  return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
               "there is no such object")
      .With("object", name.id());
}

}  // namespace shmd
