#ifndef SHMD_SERVER_STORE_GRANT_RECORD_H_
#define SHMD_SERVER_STORE_GRANT_RECORD_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/registry/grant_table.h"
#include "server/store/record.h"

namespace shmd {

// Grants as records: record.proto has the value, the key is the hash of the
// secret.

Change PutOf(const Grant& grant);
Change RemovalOf(const Grant& grant);

// From any bytes; STORE_FAILED (INTERNAL) for those that PutOf did not make.
absl::StatusOr<Grant> ParseGrantRecord(absl::string_view key,
                                       absl::string_view value);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_GRANT_RECORD_H_
