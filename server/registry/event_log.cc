#include "server/registry/event_log.h"

#include <utility>

namespace shmd {

void EventLog::Append(EventType type, std::shared_ptr<Segment> segment,
                      SegmentPtr previous) {
  log_.Append([&](uint64_t revision) {
    segment->revision = revision;
    return SegmentEvent{revision, type, std::move(segment),
                        std::move(previous)};
  });
  signal_.Note();
}

void EventLog::AppendRemoval(SegmentPtr last) {
  log_.Append([&](uint64_t revision) {
    return SegmentEvent{revision, EventType::kDeleted, nullptr,
                        std::move(last)};
  });
  signal_.Note();
}

absl::StatusOr<std::optional<SegmentEvent>> EventLog::Reader::NextAfter(
    uint64_t revision) const {
  absl::StatusOr<std::optional<SegmentEvent>> event =
      log_->log_.TakeNext(&revision);
  if (event.ok() && event->has_value() && (*event)->segment == nullptr) {
    // Made here and not for each removal: often nobody watches.
    auto removed = std::make_shared<Segment>(*(*event)->previous);
    removed->state = SegmentState::kDeleted;
    removed->revision = revision;
    (*event)->segment = std::move(removed);
  }
  return event;
}

}  // namespace shmd
