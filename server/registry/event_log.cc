#include "server/registry/event_log.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

Error TokenExpired() {
  return Error(absl::StatusCode::kOutOfRange, reason::kResumeTokenExpired,
               "the changes since are no longer kept; watch again without a "
               "resume token");
}

}  // namespace

void EventLog::Append(EventType type, std::shared_ptr<Segment> segment,
                      SegmentPtr previous) {
  absl::MutexLock lock(&mutex_);
  segment->revision = ++last_revision_;
  events_.push_back(
      {segment->revision, type, std::move(segment), std::move(previous)});
  if (events_.size() > capacity_) events_.pop_front();
}

void EventLog::AppendRemoval(SegmentPtr last) {
  absl::MutexLock lock(&mutex_);
  events_.push_back(
      {++last_revision_, EventType::kDeleted, nullptr, std::move(last)});
  if (events_.size() > capacity_) events_.pop_front();
}

uint64_t EventLog::LastRevision() const {
  absl::MutexLock lock(&mutex_);
  return last_revision_;
}

absl::StatusOr<std::optional<SegmentEvent>> EventLog::NextAfter(
    uint64_t revision) const {
  absl::MutexLock lock(&mutex_);
  if (revision >= last_revision_) return std::optional<SegmentEvent>();
  // Revisions are dense, so the place is a matter of subtraction.
  const uint64_t first = last_revision_ - events_.size() + 1;
  if (revision + 1 < first) {
    return absl::StatusOr<std::optional<SegmentEvent>>(TokenExpired());
  }
  SegmentEvent event = events_[revision + 1 - first];
  if (event.segment == nullptr) {
    // Made here and not for each removal: often nobody watches.
    auto removed = std::make_shared<Segment>(*event.previous);
    removed->state = SegmentState::kDeleted;
    removed->revision = event.revision;
    event.segment = std::move(removed);
  }
  return std::optional<SegmentEvent>(std::move(event));
}

void EventLog::WaitBeyond(uint64_t revision, absl::Duration timeout) const {
  const auto beyond = [this, revision]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return last_revision_ > revision;
  };
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&beyond), timeout);
}

std::string EventLog::Token(uint64_t revision) const {
  return absl::StrFormat("%x-%x", epoch_, revision);
}

absl::StatusOr<uint64_t> EventLog::ParseToken(absl::string_view token) const {
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '-');
  uint64_t epoch = 0, revision = 0;
  if (parts.size() != 2 || token.size() > 40 ||
      !absl::SimpleHexAtoi(parts[0], &epoch) ||
      !absl::SimpleHexAtoi(parts[1], &revision) ||
      absl::StrFormat("%x-%x", epoch, revision) != token) {
    return absl::StatusOr<uint64_t>(
        InvalidField("resume_token", reason::kResumeTokenInvalid,
                     "is not one that a watch gave"));
  }
  if (epoch != epoch_ || revision > LastRevision()) {
    return absl::StatusOr<uint64_t>(TokenExpired());
  }
  return revision;
}

uint64_t RandomEpoch() {
  uint64_t epoch = 0;
  const Uid random = RandomUid();
  std::memcpy(&epoch, random.data(), sizeof(epoch));
  return epoch;
}

}  // namespace shmd
