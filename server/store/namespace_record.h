#ifndef SHMD_SERVER_STORE_NAMESPACE_RECORD_H_
#define SHMD_SERVER_STORE_NAMESPACE_RECORD_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/registry/namespace_table.h"
#include "server/store/record.h"

namespace shmd {

// Namespaces as records: record.proto has the value, the key is the id.

Change PutOf(const Namespace& name_space);
Change RemovalOfNamespace(absl::string_view name);

// From any bytes; STORE_FAILED (INTERNAL) for those that PutOf did not make.
absl::StatusOr<Namespace> ParseNamespaceRecord(absl::string_view key,
                                               absl::string_view value);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_NAMESPACE_RECORD_H_
