#ifndef SHMD_SERVER_REGISTRY_CHANGE_LOG_H_
#define SHMD_SERVER_REGISTRY_CHANGE_LOG_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace shmd {

// A place in a log, as resume tokens name it.
struct ChangePlace {
  uint64_t epoch = 0;
  uint64_t revision = 0;
};

// The opaque text of a place, and back: RESUME_TOKEN_INVALID (INVALID_ARGUMENT)
// for what MakeResumeToken never made.
std::string MakeResumeToken(const ChangePlace& place);
absl::StatusOr<ChangePlace> ParseResumeToken(absl::string_view token);

// RESUME_TOKEN_EXPIRED (OUT_OF_RANGE).
absl::Status ResumeTokenExpired();

// Another for each log.
uint64_t RandomEpoch();

// How long a log keeps what nobody reads.
struct ChangesKept {
  Clock* clock = nullptr;  // null: always
  absl::Duration after_last_reader;
};

// The last changes of something, in order. Watchers read it at their own pace
// by revision: however slow one is, it costs nothing but its place, and when
// the log has moved past that place it is told so. Thread-safe.
template <typename Event>
class ChangeLog {
 public:
  // `epoch` tells this log from others. Revisions start behind
  // `first_revision`. Unless it is kept always, readers announce themselves.
  ChangeLog(uint64_t epoch, size_t capacity, uint64_t first_revision = 0,
            ChangesKept kept = {})
      : epoch_(epoch),
        capacity_(capacity),
        kept_(kept),
        last_revision_(first_revision) {}

  // Before a reader finds its place, and after its last read.
  void StartReader() {
    absl::MutexLock lock(&mutex_);
    if (!IsKept()) events_.clear();
    ++readers_;
  }
  void EndReader() {
    absl::MutexLock lock(&mutex_);
    if (--readers_ > 0 || kept_.clock == nullptr) return;
    kept_until_ = kept_.clock->SinceBoot() + kept_.after_last_reader;
  }

  // Appends what `make(revision)` returns.
  template <typename Make>
  void Append(Make make) {
    absl::MutexLock lock(&mutex_);
    Event event = make(++last_revision_);
    if (IsKept()) {
      events_.push_back(std::move(event));
      if (events_.size() > capacity_) events_.pop_front();
      return;
    }
    // A few at a time: to free all of them takes milliseconds.
    for (int i = 0; i < 4 && !events_.empty(); ++i) events_.pop_front();
  }

  // Revision of the last change; `first_revision` before the first.
  uint64_t LastRevision() const {
    absl::MutexLock lock(&mutex_);
    return last_revision_;
  }

  // The first event behind `revision`, which moves on to it: nullopt when
  // there is none yet, RESUME_TOKEN_EXPIRED when it is no longer kept.
  absl::StatusOr<std::optional<Event>> TakeNext(uint64_t* revision) const {
    absl::MutexLock lock(&mutex_);
    if (*revision >= last_revision_) return std::optional<Event>();
    // Revisions are dense, so the place is a matter of subtraction.
    const uint64_t first = last_revision_ - events_.size() + 1;
    if (*revision + 1 < first) return ResumeTokenExpired();
    ++*revision;
    return std::make_optional(events_[*revision - first]);
  }

  std::string Token(uint64_t revision) const {
    return MakeResumeToken({epoch_, revision});
  }
  // RESUME_TOKEN_INVALID, and RESUME_TOKEN_EXPIRED for a place of another log.
  absl::StatusOr<uint64_t> ParseToken(absl::string_view token) const {
    const absl::StatusOr<ChangePlace> place = ParseResumeToken(token);
    if (!place.ok()) return place.status();
    if (place->epoch != epoch_ || place->revision > LastRevision()) {
      return ResumeTokenExpired();
    }
    return place->revision;
  }

 private:
  // Once it says no, it does until the next reader.
  bool IsKept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (kept_.clock == nullptr || readers_ > 0) return true;
    if (kept_until_ == absl::ZeroDuration()) return false;
    if (kept_.clock->SinceBoot() < kept_until_) return true;
    kept_until_ = absl::ZeroDuration();
    return false;
  }

  const uint64_t epoch_;
  const size_t capacity_;
  const ChangesKept kept_;
  mutable absl::Mutex mutex_;
  // While it is kept, up to the last revision without a gap.
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  int readers_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration kept_until_ ABSL_GUARDED_BY(mutex_);  // 0: not
  uint64_t last_revision_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_CHANGE_LOG_H_
