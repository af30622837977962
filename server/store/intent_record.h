#ifndef SHMD_SERVER_STORE_INTENT_RECORD_H_
#define SHMD_SERVER_STORE_INTENT_RECORD_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/store/record.h"
#include "shm/types.h"

namespace shmd {

// Objects that are about to be made, as records: record.proto has the value,
// the key is the uid of the segment to come.

struct Intent {
  Uid segment = {};
  AdoptOptions object;  // by its name
};

Change PutOf(const Intent& intent);
Change RemovalOfIntent(const Uid& segment);

// From any bytes; STORE_FAILED (INTERNAL) for those that PutOf did not make.
absl::StatusOr<Intent> ParseIntentRecord(absl::string_view key,
                                         absl::string_view value);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_INTENT_RECORD_H_
