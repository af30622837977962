#ifndef SHMD_SERVER_STORE_SEGMENT_RECORD_H_
#define SHMD_SERVER_STORE_SEGMENT_RECORD_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/registry/segment.h"
#include "server/store/record.h"
#include "shm/kernel_object.h"

namespace shmd {

// A segment, and where its object is.
struct StoredSegment {
  Segment segment;
  ObjectName object;
};

// Segments as records: record.proto has the value, the key is the uid.

Change PutOf(const StoredSegment& stored);
Change RemovalOf(const Uid& uid);

// From any bytes; STORE_FAILED (INTERNAL), which names what is damaged, for
// those that PutOf did not make.
absl::StatusOr<StoredSegment> ParseSegmentRecord(absl::string_view key,
                                                 absl::string_view value);

// What its record must outlive to be of use: an object in memory is gone after
// a power loss.
Durability DurabilityOf(const ObjectName& object);

// The greatest of several.
Durability DurabilityOf(absl::Span<const StoredSegment> stored);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_SEGMENT_RECORD_H_
