#ifndef SHMD_SERVER_OBJECT_OBJECT_NAMES_H_
#define SHMD_SERVER_OBJECT_OBJECT_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "shm/directory/name_key.h"

namespace shmd {

// namespaces/{name_space}/objects/{id}, parsed.
struct ParsedObjectName {
  std::string name_space;
  NameKey id;
};

std::string ObjectNameOf(absl::string_view name_space, const NameKey& id);

// NAME_INVALID naming `field`.
absl::StatusOr<ParsedObjectName> ParseObjectName(absl::string_view field,
                                                 absl::string_view name);

// OBJECT_ID_INVALID naming `field` unless `id` may be the last part of a name.
absl::StatusOr<NameKey> ParseObjectId(absl::string_view field,
                                      absl::string_view id);

// The same of what stands in a ring, which may be anything.
absl::StatusOr<NameKey> ReadObjectId(const uint64_t (&words)[8],
                                     uint32_t length);

// OBJECT_NOT_FOUND (NOT_FOUND).
Error ObjectNotFound(const NameKey& name);

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_OBJECT_NAMES_H_
