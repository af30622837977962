#ifndef SHMD_SERVER_REGISTRY_EVENT_LOG_H_
#define SHMD_SERVER_REGISTRY_EVENT_LOG_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/registry/segment.h"

namespace shmd {

enum class EventType : uint8_t { kCreated, kUpdated, kDeleted };

struct SegmentEvent {
  uint64_t revision = 0;
  EventType type = EventType::kCreated;
  SegmentPtr segment;
  SegmentPtr previous;  // what it was before; none with kCreated
};

// The last changes of all segments, in order. Watchers read it at their own
// pace by revision: however slow one is, it costs nothing but its place, and
// when the log has moved past that place it is told so. Thread-safe.
class EventLog {
 public:
  // `epoch` tells the logs of two runs of the daemon apart. Revisions start
  // behind `first_revision`.
  EventLog(uint64_t epoch, size_t capacity, uint64_t first_revision = 0)
      : epoch_(epoch), capacity_(capacity), last_revision_(first_revision) {}

  // Appends a change of `segment`, which receives its revision here.
  void Append(EventType type, std::shared_ptr<Segment> segment,
              SegmentPtr previous = nullptr);

  // Appends the removal of `last`, which stays as it is: what a reader gets as
  // the event's segment is a copy in the state kDeleted.
  void AppendRemoval(SegmentPtr last);

  // Revision of the last change; `first_revision` before the first.
  uint64_t LastRevision() const;

  // The first event behind `revision`: nullopt when there is none yet,
  // RESUME_TOKEN_EXPIRED (OUT_OF_RANGE) when it is no longer kept.
  absl::StatusOr<std::optional<SegmentEvent>> NextAfter(
      uint64_t revision) const;

  // Waits until the last revision is beyond `revision`, or `timeout`.
  void WaitBeyond(uint64_t revision, absl::Duration timeout) const;

  // The opaque text of a place in this log, and back: RESUME_TOKEN_INVALID for
  // what Token never made, RESUME_TOKEN_EXPIRED for a place of another run.
  std::string Token(uint64_t revision) const;
  absl::StatusOr<uint64_t> ParseToken(absl::string_view token) const;

 private:
  const uint64_t epoch_;
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<SegmentEvent> events_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_revision_ ABSL_GUARDED_BY(mutex_);
};

// Another for each run of the daemon.
uint64_t RandomEpoch();

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_EVENT_LOG_H_
