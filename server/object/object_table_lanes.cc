// What sessions ask for by their rings, and what is due without being asked.

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/object/object_names.h"
#include "server/object/object_table.h"

namespace shmd {
namespace {

using layout::Submission;
using layout::SubmissionKind;

// How often what was deleted while it was pinned is looked at again.
constexpr absl::Duration kPinsLookedAt = absl::Milliseconds(5);
// How often a ring is looked at for nothing, before its session has to ask.
constexpr size_t kLooksForNothing = 4000;
// So that one busy session cannot keep the others waiting.
constexpr size_t kSubmissionsPerTurn = 64;
// Nor many objects that have the same end.
constexpr int kExpiredAtOnce = 4096;
// A look at so many slots is nothing; one at more is followed by a pause ten
// times as long, so that no session can take the daemon's time by its pins.
constexpr uint64_t kFewPins = 512;
const absl::Duration kPauseForPin = absl::Nanoseconds(50);

PublishCommand CommandOf(const Submission& submission, const NameKey& name) {
  PublishCommand command;
  command.name = name;
  command.arena = submission.arena;
  command.metadata_bytes = submission.metadata_bytes;
  command.offset_bytes = submission.offset_bytes;
  command.size_bytes = submission.size_bytes;
  if (submission.ttl_ns != 0) {
    // Longer than a century is for ever.
    constexpr uint64_t kLongNs = uint64_t{100} * 366 * 86400 * 1000000000;
    if (submission.ttl_ns < kLongNs) {
      command.ttl = absl::Nanoseconds(static_cast<int64_t>(submission.ttl_ns));
    }
  }
  command.priority =
      static_cast<uint8_t>(std::min<uint32_t>(submission.priority, 255));
  command.replace_existing = (submission.flags & layout::kReplaceExisting) != 0;
  command.strict = (submission.flags & layout::kStrict) != 0;
  return command;
}

absl::Duration UntilNanos(uint64_t unix_ns, absl::Time now) {
  return std::max(absl::FromUnixNanos(static_cast<int64_t>(unix_ns)) - now,
                  absl::ZeroDuration());
}

}  // namespace

bool ObjectTable::Serve() {
  absl::MutexLock lock(&mutex_);
  bool served = false;
  // From the end, because Cool takes out the one that it is given.
  for (size_t i = hot_lanes_.hot().size(); i-- > 0;) {
    Lane* const lane = hot_lanes_.hot()[i];
    if (ServeLane(*lane)) {
      served = true;
      lane->idle_looks = 0;
    } else if (++lane->idle_looks > kLooksForNothing) {
      lane->idle_looks = 0;
      hot_lanes_.Cool(lane);
    }
    // There may be room by now for what it could not be told before.
    if (lane->kept_back() > 0) MarkDirty(*lane);
  }
  if (served) FreeRetired();
  FlushAnswers();
  return served;
}

void ObjectTable::Rang(const SessionId& session) {
  absl::MutexLock lock(&mutex_);
  const auto lane = lanes_.find(session);
  if (lane == lanes_.end()) return;
  hot_lanes_.Rang(lane->second.get());
  // It may have read answers, and there is room for others.
  lane->second->Flush();
}

bool ObjectTable::FallAsleep() {
  absl::MutexLock lock(&mutex_);
  return hot_lanes_.FallAsleep();
}

bool ObjectTable::ServeLane(Lane& lane) {
  Submission submissions[kSubmissionsPerTurn];
  const TakeResult taken = lane.Take(absl::MakeSpan(submissions));
  if (taken.broke) {
    Log(LogLevel::kDebug, "a session broke the rules of its ring");
  }
  for (size_t i = 0; i < taken.count; ++i) ServeOne(lane, submissions[i]);
  return taken.count > 0;
}

void ObjectTable::ServeOne(Lane& lane, const Submission& submission) {
  SHMD_FAILPOINT("lane.serve");
  if (submission.kind == static_cast<uint32_t>(SubmissionKind::kMakeRoom)) {
    AskForRoom(lane, submission);
    return;
  }
  const absl::StatusOr<NameKey> name =
      ReadObjectId(submission.name, submission.name_length);
  absl::StatusOr<std::optional<uint64_t>> generation = uint64_t{0};
  if (!name.ok()) {
    generation = name.status();
  } else {
    if (submission.kind == static_cast<uint32_t>(SubmissionKind::kAwait)) {
      if (AwaitByLane(lane, *name, submission)) return;
      generation = Exhausted(reason::kWatchLimitExceeded, "waits of a session",
                             1, 0, "waits")
                       .ToStatus();
    } else {
      generation = Execute(lane, *name, submission);
    }
  }
  SHMD_FAILPOINT("lane.served");
  if (generation.ok() && !generation->has_value()) return;  // later
  Answer(lane, submission.cookie, generation.status(),
         generation.value_or(0).value_or(0));
}

absl::StatusOr<std::optional<uint64_t>> ObjectTable::Execute(
    Lane& lane, const NameKey& name, const Submission& submission) {
  const ObjectUser user = lane.user();
  switch (static_cast<SubmissionKind>(submission.kind)) {
    case SubmissionKind::kPublish: {
      const PublishCommand command = CommandOf(submission, name);
      if (command.strict) {
        return PublishStrictByLane(lane, command, submission.cookie);
      }
      ASSIGN_OR_RETURN(const uint32_t position, PublishLocked(user, command));
      return directory_.fields(position).generation;
    }
    case SubmissionKind::kDelete: {
      ASSIGN_OR_RETURN(const uint32_t position,
                       FindDeletable(user, name, /*generation=*/0));
      directory_.Unlink(position);
      Retire(position);
      return 0;
    }
    default:
      return InvalidField("submission.kind", reason::kRequestInvalid,
                          "is not known")
          .ToStatus();
  }
}

bool ObjectTable::AwaitByLane(Lane& lane, const NameKey& name,
                              const Submission& submission) {
  const uint32_t position = directory_.Find(name);
  if (position != 0) {
    Answer(lane, submission.cookie, absl::OkStatus(),
           directory_.fields(position).generation);
    return true;
  }
  if (lane.awaits >= kMaxAwaitsOfLane) return false;
  LaneWait wait;
  wait.session = lane.session();
  wait.cookie = submission.cookie;
  constexpr uint64_t kLongestNs = uint64_t{86400} * 365 * 1000000000;
  wait.deadline =
      submission.ttl_ns == 0 || submission.ttl_ns > kLongestNs
          ? absl::InfiniteDuration()
          : clock_->SinceBoot() +
                absl::Nanoseconds(static_cast<int64_t>(submission.ttl_ns));
  ++lane.awaits;
  lane_waits_.emplace(std::string(name.id()), wait);
  return true;
}

void ObjectTable::Answer(Lane& lane, uint64_t cookie,
                         const absl::Status& status, uint64_t value) {
  lane.Answer(cookie, status, value);
  MarkDirty(lane);
}

void ObjectTable::MarkDirty(Lane& lane) {
  if (!std::exchange(lane.is_dirty, true)) dirty_lanes_.push_back(&lane);
}

void ObjectTable::FlushAnswers() {
  for (Lane* const lane : dirty_lanes_) {
    lane->is_dirty = false;
    lane->Flush();
  }
  dirty_lanes_.clear();
  TellWatches();
}

void ObjectTable::AnswerWaiters(const NameKey& name, uint64_t generation) {
  if (waiters_ > 0) published_some_.SignalAll();
  if (lane_waits_.empty()) return;
  const auto [first, last] = lane_waits_.equal_range(std::string(name.id()));
  for (auto wait = first; wait != last; ++wait) {
    const auto lane = lanes_.find(wait->second.session);
    if (lane == lanes_.end()) continue;
    --lane->second->awaits;
    Answer(*lane->second, wait->second.cookie, absl::OkStatus(), generation);
  }
  lane_waits_.erase(first, last);
}

absl::Duration ObjectTable::EndOldWaits() {
  const absl::Duration now = clock_->SinceBoot();
  absl::Duration next = absl::InfiniteDuration();
  for (auto wait = lane_waits_.begin(); wait != lane_waits_.end();) {
    if (wait->second.deadline > now) {
      next = std::min(next, wait->second.deadline - now);
      ++wait;
      continue;
    }
    const auto lane = lanes_.find(wait->second.session);
    if (lane != lanes_.end()) {
      --lane->second->awaits;
      Answer(*lane->second, wait->second.cookie,
             Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
                   "there is no such object"),
             0);
    }
    wait = lane_waits_.erase(wait);
  }
  return next;
}

absl::Duration ObjectTable::RemoveExpired() {
  const absl::Time now = clock_->WallTime();
  for (int i = 0; !expiries_.empty(); ++i) {
    if (i == kExpiredAtOnce) return absl::ZeroDuration();
    const Expiry first = *expiries_.begin();
    const absl::Duration left = UntilNanos(first.time_ns, now);
    if (left > absl::ZeroDuration()) return left;
    SHMD_FAILPOINT("object.expire");
    directory_.Unlink(first.position);
    Retire(first.position);
  }
  return absl::InfiniteDuration();
}

absl::Duration ObjectTable::DoDue() {
  absl::MutexLock lock(&mutex_);
  absl::Duration next =
      std::min({RemoveExpired(), EndOldWaits(), ForgetEvents()});
  FreeRetired();
  FlushAnswers();
  if (!retired_.empty()) next = std::min(next, kPinsLookedAt);
  return next;
}

void ObjectTable::FreeRetired() {
  if (retired_.empty()) return;
  if (pins_looked_at_ > kFewPins && clock_->SinceBoot() < next_look_at_pins_) {
    return;  // DoDue comes again
  }
  // Each was retired before its pins are read here, so whoever has it pinned
  // now had it pinned before, or will find that it is retired.
  const Positions pinned = PinnedOfRetired();
  SHMD_FAILPOINT("object.free");
  size_t kept = 0;
  for (const Retired& one : retired_) {
    if (pinned.contains(one.position)) {
      retired_[kept++] = one;
    } else {
      Free(one);
    }
  }
  if (kept < retired_.size()) SHMD_FAILPOINT("object.freed");
  retired_.resize(kept);
}

ObjectTable::Positions ObjectTable::PinnedOfRetired() {
  Positions pinned = copied_;
  pins_looked_at_ = 0;
  const absl::flat_hash_set<uint32_t>& retired = directory_.retired();
  for (const auto& [session, lane] : lanes_) {
    pins_looked_at_ += lane->ForEachPin([&](uint32_t position) {
      if (retired.contains(position)) pinned.insert(position);
    });
  }
  if (pins_looked_at_ > kFewPins) {
    next_look_at_pins_ = clock_->SinceBoot() +
                         kPauseForPin * static_cast<double>(pins_looked_at_);
  }
  return pinned;
}

void ObjectTable::Free(const Retired& retired) {
  NoteFreed(retired.arena, directory_.fields(retired.position));
  directory_.Free(retired.position);
  const auto arena = arenas_.find(retired.arena);
  if (arena == arenas_.end()) return;
  if (arena->second.spilled != nullptr) {
    arena->second.spilled->Free(retired.offset_bytes);
  }
  if (arena->second.writer.has_value() && !arena->second.is_sealed) {
    const auto lane = lanes_.find(*arena->second.writer);
    if (lane != lanes_.end()) {
      lane->second->TellFreed(retired.arena, retired.offset_bytes,
                              retired.generation);
      MarkDirty(*lane->second);
    }
  }
  LeaveArena(retired.arena);
}

void ObjectTable::TakeUp() {
  absl::MutexLock lock(&mutex_);
  std::vector<uint32_t> lost;
  std::vector<std::pair<uint64_t, uint32_t>> found;
  directory_.ForEach([&](uint32_t position) {
    const EntryFields entry = directory_.fields(position);
    const auto arena = arenas_.find(entry.arena);
    if (arena == arenas_.end()) {
      lost.push_back(position);
      return;
    }
    ++arena->second.objects;
    NoteUsed(entry);
    found.emplace_back(entry.generation, position);
    if (entry.expire_time_ns != 0) {
      expiries_.insert({entry.expire_time_ns, position});
    }
  });
  // Their memory is gone.
  for (const uint32_t position : lost) {
    directory_.Unlink(position);
    directory_.Free(position);
  }
  for (const uint32_t position : directory_.retired()) {
    const EntryFields entry = directory_.fields(position);
    const auto arena = arenas_.find(entry.arena);
    if (arena != arenas_.end()) ++arena->second.objects;
    NoteUsed(entry);
    Retire(position);
  }
  // Of uses nothing is known but the order of the publications.
  std::sort(found.begin(), found.end());
  for (const auto& [generation, position] : found) uses_.Touch(position);
  TakeUpPlaces();
}

}  // namespace shmd
