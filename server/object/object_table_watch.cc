// Changes, for those who watch.

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "server/object/object_table.h"

namespace shmd {

absl::StatusOr<ObjectTable::WatchStart> ObjectTable::StartWatch(
    absl::string_view resume_token) {
  absl::MutexLock lock(&mutex_);
  WatchStart start;
  if (!resume_token.empty()) {
    if (events_ == nullptr) {
      RETURN_IF_ERROR(ParseResumeToken(resume_token).status());
      return ResumeTokenExpired();
    }
    ASSIGN_OR_RETURN(start.revision, events_->ParseToken(resume_token));
    // Told at once rather than at the first change.
    uint64_t next = start.revision;
    RETURN_IF_ERROR(events_->TakeNext(&next).status());
  }
  if (events_ == nullptr) {
    events_ = std::make_shared<ObjectEvents>(RandomEpoch(), kKeptObjectEvents);
  }
  if (resume_token.empty()) start.revision = events_->LastRevision();
  start.events = events_;
  start.last_generation = directory_.last_generation();
  ++watches_;
  return start;
}

void ObjectTable::EndWatch() {
  absl::MutexLock lock(&mutex_);
  if (--watches_ > 0) return;
  unwatched_since_ = clock_->SinceBoot();
  wake_();
}

void ObjectTable::NoteEvent(ObjectEvent::Type type, const NameKey& name,
                            const EntryFields& entry) {
  events_->Append([&](uint64_t) { return ObjectEvent{type, name, entry}; });
  has_news_ = true;
}

void ObjectTable::TellWatches() {
  if (std::exchange(has_news_, false)) signal_->Note();
}

absl::Duration ObjectTable::ForgetEvents() {
  if (events_ == nullptr || watches_ > 0) return absl::InfiniteDuration();
  const absl::Duration left =
      unwatched_since_ + kEventsKept - clock_->SinceBoot();
  if (left > absl::ZeroDuration()) return left;
  events_.reset();
  return absl::InfiniteDuration();
}

}  // namespace shmd
