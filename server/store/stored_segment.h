#ifndef SHMD_SERVER_STORE_STORED_SEGMENT_H_
#define SHMD_SERVER_STORE_STORED_SEGMENT_H_

#include "absl/status/statusor.h"
#include "server/registry/segment.h"
#include "server/store/statement.h"
#include "shm/kernel_object.h"

namespace shmd {

// A segment that has a name in the kernel, and where it is.
struct StoredSegment {
  Segment segment;
  ObjectName object;
};

// The tables, and the statements whose parameters and columns the two
// functions below fill and read.
extern const char kCreateTables[];
extern const char kPutSegment[];
extern const char kReadSegments[];

void BindSegment(const StoredSegment& stored, Statement& statement);

// STORE_FAILED (INTERNAL) for a row that no version of this code wrote.
absl::StatusOr<StoredSegment> ReadSegment(const Statement& row);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_STORED_SEGMENT_H_
