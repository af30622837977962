#ifndef SHMD_SERVER_REGISTRY_EVENT_LOG_H_
#define SHMD_SERVER_REGISTRY_EVENT_LOG_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "server/registry/change_log.h"
#include "server/registry/change_signal.h"
#include "server/registry/segment.h"

namespace shmd {

enum class EventType : uint8_t { kCreated, kUpdated, kDeleted };

struct SegmentEvent {
  uint64_t revision = 0;
  EventType type = EventType::kCreated;
  SegmentPtr segment;
  SegmentPtr previous;  // what it was before; none with kCreated
};

// For how long after the last watch the changes of segments are kept.
inline constexpr absl::Duration kSegmentEventsKept = absl::Minutes(10);

// The last changes of all segments, for those who watch: ChangeLog has the
// rules. Nobody watches most daemons, and thousands of segments that were push
// what is in use out of the processor's caches: a create took a fifth longer.
// Thread-safe.
class EventLog {
 public:
  // `epoch` tells the logs of two runs of the daemon apart. Revisions start
  // behind `first_revision`. Borrows the clock.
  EventLog(uint64_t epoch, size_t capacity, Clock* clock,
           uint64_t first_revision = 0)
      : log_(epoch, capacity, first_revision, {clock, kSegmentEventsKept}) {}

  // Who reads: changes are kept while one lives. Thread-compatible.
  class Reader {
   public:
    explicit Reader(EventLog* log) : log_(log) { log_->log_.StartReader(); }
    ~Reader() { log_->log_.EndReader(); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    // The first event behind `revision`: nullopt when there is none yet,
    // RESUME_TOKEN_EXPIRED (OUT_OF_RANGE) when it is no longer kept.
    absl::StatusOr<std::optional<SegmentEvent>> NextAfter(
        uint64_t revision) const;

   private:
    EventLog* const log_;
  };

  // Appends a change of `segment`, which receives its revision here.
  void Append(EventType type, std::shared_ptr<Segment> segment,
              SegmentPtr previous = nullptr);

  // Appends the removal of `last`, which stays as it is: what a reader gets as
  // the event's segment is a copy in the state kDeleted.
  void AppendRemoval(SegmentPtr last);

  uint64_t LastRevision() const { return log_.LastRevision(); }

  std::string Token(uint64_t revision) const { return log_.Token(revision); }
  absl::StatusOr<uint64_t> ParseToken(absl::string_view token) const {
    return log_.ParseToken(token);
  }

  // Noted with every change, of other logs too.
  ChangeSignal& signal() { return signal_; }

 private:
  ChangeLog<SegmentEvent> log_;
  ChangeSignal signal_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_EVENT_LOG_H_
