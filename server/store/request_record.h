#ifndef SHMD_SERVER_STORE_REQUEST_RECORD_H_
#define SHMD_SERVER_STORE_REQUEST_RECORD_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/registry/request_log.h"
#include "server/store/record.h"

namespace shmd {

// Request ids that made segments, as records: record.proto tells of key and
// value.

struct StoredRequest {
  RequestLog::Key key;
  RequestLog::Entry entry;
};

Change PutOf(const StoredRequest& request);
Change RemovalOf(const RequestLog::Key& key);

// From any bytes; STORE_FAILED (INTERNAL) for those that PutOf did not make.
absl::StatusOr<StoredRequest> ParseRequestRecord(absl::string_view key,
                                                 absl::string_view value);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_REQUEST_RECORD_H_
