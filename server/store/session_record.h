#ifndef SHMD_SERVER_STORE_SESSION_RECORD_H_
#define SHMD_SERVER_STORE_SESSION_RECORD_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/session/session.h"
#include "server/store/record.h"

namespace shmd {

// Sessions as records: record.proto has the value, the key is the id.

Change PutOf(const SessionIdentity& session);
Change RemovalOfSession(const SessionId& id);

// From any bytes; STORE_FAILED (INTERNAL) for those that PutOf did not make.
absl::StatusOr<SessionIdentity> ParseSessionRecord(absl::string_view key,
                                                   absl::string_view value);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_SESSION_RECORD_H_
