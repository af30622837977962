#ifndef SHMD_SERVER_STORE_SEGMENTS_V1_H_
#define SHMD_SERVER_STORE_SEGMENTS_V1_H_

#include "absl/status/statusor.h"
#include "server/store/segment_record.h"
#include "server/store/statement.h"

namespace shmd {

// Version 1 of the database had a table of segments. Its rows are read once,
// when a newer daemon first opens it.

extern const char kReadSegmentsV1[];

// STORE_FAILED (INTERNAL) for a row that no version of this code wrote.
absl::StatusOr<StoredSegment> ReadSegmentV1(const Statement& row);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_SEGMENTS_V1_H_
