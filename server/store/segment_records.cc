#include "server/store/segment_records.h"

#include <utility>

#include "base/status_macros.h"

namespace shmd {

absl::Status PutSegments(Store& store, absl::Span<const StoredSegment> stored) {
  std::vector<Change> changes;
  changes.reserve(stored.size());
  for (const StoredSegment& one : stored) changes.push_back(PutOf(one));
  return store.Commit(changes, DurabilityOf(stored));
}

absl::Status RemoveSegments(Store& store, absl::Span<const Uid> uids,
                            Durability durability) {
  std::vector<Change> changes;
  changes.reserve(uids.size());
  for (const Uid& uid : uids) changes.push_back(RemovalOf(uid));
  return store.Commit(changes, durability);
}

absl::StatusOr<std::vector<StoredSegment>> LoadSegments(Store& store) {
  ASSIGN_OR_RETURN(const std::vector<Record> records,
                   store.Load(RecordKind::kSegment));
  std::vector<StoredSegment> segments;
  segments.reserve(records.size());
  for (const Record& record : records) {
    ASSIGN_OR_RETURN(StoredSegment stored,
                     ParseSegmentRecord(record.key, record.value));
    segments.push_back(std::move(stored));
  }
  return segments;
}

}  // namespace shmd
