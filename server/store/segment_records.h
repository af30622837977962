#ifndef SHMD_SERVER_STORE_SEGMENT_RECORDS_H_
#define SHMD_SERVER_STORE_SEGMENT_RECORDS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/store/segment_record.h"
#include "server/store/store.h"

namespace shmd {

// The store's records of segments. A change is durable against the end of the
// daemon when the call returns, and against power loss where `durability` or
// the segment says so. Errors are those of Store::Commit.

// Writes or replaces; all or none.
absl::Status PutSegments(Store& store, absl::Span<const StoredSegment> stored);

// All or none; no error for one that is not there.
absl::Status RemoveSegments(Store& store, absl::Span<const Uid> uids,
                            Durability durability);

absl::StatusOr<std::vector<StoredSegment>> LoadSegments(Store& store);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_SEGMENT_RECORDS_H_
