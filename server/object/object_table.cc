#include "server/object/object_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/object/object_names.h"
#include "server/registry/commands.h"
#include "server/registry/segment_registry.h"

namespace shmd {
namespace {

absl::Status NotAllowed(const ObjectUser& user) {
  Caller caller;
  caller.uid = user.uid;
  return CallerNotAllowed(caller);
}

absl::Status CheckRange(const PublishCommand& command,
                        uint64_t arena_size_bytes) {
  if (command.offset_bytes % kPayloadAlignment != 0) {
    return InvalidField("object.offset_bytes", reason::kFieldInvalid,
                        "is not a multiple of 8");
  }
  if (command.metadata_bytes > layout::kMaxObjectMetadataBytes) {
    return InvalidField("object.metadata_bytes", reason::kFieldInvalid,
                        "is more than 65536");
  }
  // Differences, not sums: nothing can wrap.
  if (command.offset_bytes <= arena_size_bytes) {
    const uint64_t left = arena_size_bytes - command.offset_bytes;
    if (command.size_bytes <= left &&
        ExtentBytes(command.size_bytes, command.metadata_bytes) <= left) {
      return absl::OkStatus();
    }
  }
  return Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
               "the object does not lie within its arena")
      .With("offset_bytes", command.offset_bytes)
      .With("size_bytes", command.size_bytes)
      .With("arena_size_bytes", arena_size_bytes);
}

absl::Status ObjectExists(const NameKey& name) {
  return Error(absl::StatusCode::kAlreadyExists, reason::kObjectExists,
               "there is an object of that name")
      .With("object", name.id());
}

absl::Status TooManyRetired(size_t more) {
  return Exhausted(reason::kDirectoryFull, "objects that are pinned still",
                   more, 0, "objects");
}

uint64_t UnixNanos(absl::Time time) {
  return static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixNanos(time), 0));
}

absl::Status ArenaOver(uint32_t arena) {
  return Error(absl::StatusCode::kNotFound, reason::kArenaNotFound,
               "the session that wrote the arena has ended")
      .With("arena", arena);
}

}  // namespace

absl::Status ArenaShared(uint32_t arena) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kArenaShared,
               "a strict object has an arena of its own")
      .With("arena", arena);
}

ObjectTable::ObjectTable(DirectoryWriter directory, SegmentView segment,
                         Parts parts)
    : segment_(std::move(segment)),
      clock_(parts.clock),
      sealer_(parts.sealer),
      signal_(parts.signal),
      wake_(std::move(parts.wake)),
      directory_(std::move(directory)) {}

void ObjectTable::AddLane(const SessionId& session,
                          std::unique_ptr<Lane> lane) {
  absl::MutexLock lock(&mutex_);
  const auto [added, is_new] = lanes_.emplace(session, std::move(lane));
  // It has to ask until somebody looks.
  if (is_new) added->second->Arm();
}

bool ObjectTable::HasLane(const SessionId& session) const {
  absl::MutexLock lock(&mutex_);
  return lanes_.contains(session);
}

absl::Status ObjectTable::CheckPublish(const ObjectUser& user,
                                       const PublishCommand& command) const {
  const auto arena = arenas_.find(command.arena);
  // What the daemon spills to is nobody's to publish in.
  if (arena == arenas_.end() || arena->second.spilled != nullptr) {
    return Error(absl::StatusCode::kNotFound, reason::kArenaNotFound,
                 "there is no such arena")
        .With("arena", command.arena);
  }
  const bool is_writer =
      user.session.has_value()
          ? arena->second.writer == user.session
          : user.is_administrator || user.uid == arena->second.owner;
  if (!is_writer) return NotAllowed(user);
  if (!arena->second.writer.has_value()) return ArenaOver(command.arena);
  RETURN_IF_ERROR(CheckListens(*arena->second.writer));
  if (command.strict ? arena->second.objects > 0
                     : arena->second.is_sealing || arena->second.is_sealed) {
    return ArenaShared(command.arena);
  }
  return CheckRange(command, arena->second.size_bytes);
}

absl::Status ObjectTable::CheckListens(const SessionId& writer) const {
  const auto lane = lanes_.find(writer);
  if (lane == lanes_.end() || !lane->second->is_deaf()) {
    return absl::OkStatus();
  }
  return Exhausted(reason::kAnswersUnread,
                   "answers that the arena's writer "
                   "has not read",
                   1, 0, "answers");
}

absl::Status ObjectTable::CheckName(const ObjectUser& user,
                                    const PublishCommand& command,
                                    uint32_t existing) const {
  if (existing == 0) return absl::OkStatus();
  if (!command.replace_existing) return ObjectExists(command.name);
  if (!user.is_administrator && directory_.fields(existing).owner != user.uid) {
    return NotAllowed(user);
  }
  return absl::OkStatus();
}

bool ObjectTable::IsRepeated(const ObjectUser& user, uint32_t position,
                             const PublishCommand& command) const {
  const EntryFields entry = directory_.fields(position);
  return user.session.has_value() && entry.arena == command.arena &&
         entry.offset_bytes == command.offset_bytes &&
         entry.size_bytes == command.size_bytes &&
         entry.metadata_bytes == command.metadata_bytes &&
         ((entry.flags & kStrictFlag) != 0) == command.strict;
}

absl::StatusOr<uint32_t> ObjectTable::PublishLocked(
    const ObjectUser& user, const PublishCommand& command) {
  RETURN_IF_ERROR(CheckPublish(user, command));
  const uint32_t existing = directory_.Find(command.name);
  if (existing != 0 && IsRepeated(user, existing, command)) return existing;
  RETURN_IF_ERROR(CheckName(user, command, existing));
  if (retired_.size() >= kMaxRetiredObjects) return TooManyRetired(1);
  const absl::Time now = clock_->WallTime();
  EntryFields fields;
  fields.arena = command.arena;
  fields.metadata_bytes = command.metadata_bytes;
  fields.offset_bytes = command.offset_bytes;
  fields.size_bytes = command.size_bytes;
  fields.create_time_ns = UnixNanos(now);
  if (command.ttl != absl::InfiniteDuration()) {
    fields.expire_time_ns = UnixNanos(now + command.ttl);
  }
  fields.owner = user.uid;
  fields.priority = command.priority;
  ArenaState& arena = arenas_[command.arena];
  if (command.strict && arena.is_sealed) fields.flags |= kStrictFlag;
  fields.generation = directory_.NextGeneration();
  uint32_t position = 0;
  SHMD_FAILPOINT("object.publish");
  RETURN_IF_ERROR(directory_.Publish(command.name, fields, &position));
  SHMD_FAILPOINT("object.published");
  ++arena.objects;
  NoteUsed(fields);
  uses_.Touch(position);
  if (events_ != nullptr) {
    NoteEvent(ObjectEvent::Type::kCreated, command.name, fields);
  }
  if (existing != 0) Retire(existing);
  if (fields.expire_time_ns != 0) {
    expiries_.insert({fields.expire_time_ns, position});
  }
  AnswerWaiters(command.name, fields.generation);
  return position;
}

absl::StatusOr<ObjectView> ObjectTable::Publish(const ObjectUser& user,
                                                const PublishCommand& command) {
  absl::MutexLock lock(&mutex_);
  const absl::StatusOr<uint32_t> position = PublishLocked(user, command);
  if (!position.ok()) DropUnused(command);
  Settle();
  RETURN_IF_ERROR(position.status());
  return ViewOf(*position);
}

absl::Status ObjectTable::CheckAllLocked(
    const ObjectUser& user, absl::Span<const PublishCommand> commands) const {
  absl::flat_hash_map<std::string, size_t> names;
  if (retired_.size() + commands.size() > kMaxRetiredObjects) {
    return TooManyRetired(commands.size());
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    const PublishCommand& command = commands[i];
    absl::Status status = CheckPublish(user, command);
    const bool is_new = names.emplace(std::string(command.name.id()), i).second;
    if (!is_new) status.Update(ObjectExists(command.name));
    status.Update(CheckName(user, command, directory_.Find(command.name)));
    if (!status.ok()) return AtIndex(status, "requests", i);
  }
  return absl::OkStatus();
}

absl::Status ObjectTable::CheckAll(
    const ObjectUser& user, absl::Span<const PublishCommand> commands) const {
  absl::MutexLock lock(&mutex_);
  return CheckAllLocked(user, commands);
}

absl::StatusOr<std::vector<ObjectView>> ObjectTable::PublishAll(
    const ObjectUser& user, absl::Span<const PublishCommand> commands) {
  absl::MutexLock lock(&mutex_);
  // What can be refused, or lack memory, is refused before anything was done.
  absl::Status refused = CheckAllLocked(user, commands);
  if (refused.ok()) refused = directory_.Reserve(commands.size());
  if (!refused.ok()) {
    for (const PublishCommand& command : commands) DropUnused(command);
    Settle();
    return refused;
  }
  std::vector<ObjectView> views;
  for (size_t i = 0; i < commands.size(); ++i) {
    const absl::StatusOr<uint32_t> position = PublishLocked(user, commands[i]);
    if (!position.ok()) {
      // Only when names hash alike beyond what the index holds of them. Nothing
      // that this batch published stays; what it replaced is gone.
      for (const ObjectView& view : views) {
        directory_.Unlink(view.position);
        Retire(view.position);
      }
      for (const PublishCommand& command : commands) DropUnused(command);
      Settle();
      return AtIndex(position.status(), "requests", i);
    }
    views.push_back(ViewOf(*position));
  }
  Settle();
  return views;
}

absl::StatusOr<uint32_t> ObjectTable::FindDeletable(const ObjectUser& user,
                                                    const NameKey& name,
                                                    uint64_t generation) const {
  const uint32_t position = directory_.Find(name);
  if (position == 0) {
    return absl::StatusOr<uint32_t>(ObjectNotFound(name));
  }
  const EntryFields entry = directory_.fields(position);
  if (!user.is_administrator && entry.owner != user.uid) {
    return NotAllowed(user);
  }
  RETURN_IF_ERROR(CheckGeneration(position, generation));
  return position;
}

absl::Status ObjectTable::CheckGeneration(uint32_t position,
                                          uint64_t generation) const {
  const uint64_t found = directory_.fields(position).generation;
  if (generation == 0 || generation == found) return absl::OkStatus();
  return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
               "the object was replaced since")
      .With("object", directory_.key(position).id())
      .With("generation", found);
}

absl::Status ObjectTable::Delete(const ObjectUser& user, const NameKey& name,
                                 uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const uint32_t position,
                   FindDeletable(user, name, generation));
  SHMD_FAILPOINT("object.delete");
  directory_.Unlink(position);
  SHMD_FAILPOINT("object.deleted");
  Retire(position);
  Settle();
  return absl::OkStatus();
}

absl::Status ObjectTable::DeleteAll(const ObjectUser& user,
                                    absl::Span<const NameKey> names) {
  absl::MutexLock lock(&mutex_);
  std::vector<uint32_t> positions;
  for (size_t i = 0; i < names.size(); ++i) {
    const absl::StatusOr<uint32_t> position =
        FindDeletable(user, names[i], /*generation=*/0);
    if (!position.ok()) return AtIndex(position.status(), "names", i);
    positions.push_back(*position);
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()),
                  positions.end());
  for (const uint32_t position : positions) {
    directory_.Unlink(position);
    Retire(position);
  }
  Settle();
  return absl::OkStatus();
}

void ObjectTable::Retire(uint32_t position) {
  const EntryFields entry = directory_.fields(position);
  Retired retired;
  retired.position = position;
  retired.arena = entry.arena;
  retired.offset_bytes = entry.offset_bytes;
  retired.generation = entry.generation;
  retired_.push_back(retired);
  if (entry.expire_time_ns != 0) {
    expiries_.erase({entry.expire_time_ns, position});
  }
  if (events_ == nullptr) return;
  const NameKey name = directory_.key(position);
  // Who was replaced was told of by that.
  if (directory_.Find(name) == 0) {
    NoteEvent(ObjectEvent::Type::kDeleted, name, entry);
  }
}

ObjectView MakeView(const NameKey& name, const EntryFields& entry) {
  ObjectView view;
  view.name = name;
  view.generation = entry.generation;
  view.arena = entry.arena;
  view.metadata_bytes = entry.metadata_bytes;
  view.offset_bytes = entry.offset_bytes;
  view.size_bytes = entry.size_bytes;
  view.owner = entry.owner;
  view.priority = entry.priority;
  view.is_strict = (entry.flags & kStrictFlag) != 0;
  view.create_time =
      absl::FromUnixNanos(static_cast<int64_t>(entry.create_time_ns));
  if (entry.expire_time_ns != 0) {
    view.expire_time =
        absl::FromUnixNanos(static_cast<int64_t>(entry.expire_time_ns));
  }
  view.is_spilled = entry.state == layout::EntryState::kSpilled;
  if (entry.lease_expire_s != 0) {
    view.lease_expire_time = absl::FromUnixSeconds(entry.lease_expire_s);
  }
  return view;
}

ObjectView ObjectTable::ViewOf(uint32_t position) const {
  ObjectView view =
      MakeView(directory_.key(position), directory_.fields(position));
  view.position = position;
  const auto arena = arenas_.find(view.arena);
  if (arena != arenas_.end()) view.segment = arena->second.segment;
  return view;
}

absl::StatusOr<ObjectView> ObjectTable::Find(const NameKey& name) const {
  absl::MutexLock lock(&mutex_);
  const uint32_t position = directory_.Find(name);
  if (position != 0) return ViewOf(position);
  return absl::StatusOr<ObjectView>(ObjectNotFound(name));
}

absl::StatusOr<ObjectView> ObjectTable::Await(const NameKey& name,
                                              absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  uint32_t position = directory_.Find(name);
  ++waiters_;
  for (bool is_late = false; position == 0 && !draining_ && !is_late;) {
    is_late = published_some_.WaitWithDeadline(&mutex_, deadline);
    // Also then: it may have come while this waited for the mutex.
    position = directory_.Find(name);
  }
  --waiters_;
  // The directory may have been made for this call alone.
  if (position == 0) Settle();
  if (position != 0) return ViewOf(position);
  if (draining_) {
    return absl::StatusOr<ObjectView>(Error(absl::StatusCode::kUnavailable,
                                            reason::kServerDraining,
                                            "the daemon is stopping"));
  }
  return absl::StatusOr<ObjectView>(ObjectNotFound(name));
}

std::vector<ObjectView> ObjectTable::List(uint32_t after, size_t limit) const {
  absl::MutexLock lock(&mutex_);
  std::vector<ObjectView> views;
  // In the order of their positions, which nothing moves.
  directory_.ForEachBehind(after, [&](uint32_t position) {
    views.push_back(ViewOf(position));
    return views.size() < limit;
  });
  return views;
}

void ObjectTable::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  published_some_.SignalAll();
}

void ObjectTable::EndSession(const SessionId& session) {
  absl::MutexLock lock(&mutex_);
  const auto lane = lanes_.find(session);
  if (lane != lanes_.end()) {
    hot_lanes_.Remove(lane->second.get());
    dirty_lanes_.erase(std::remove(dirty_lanes_.begin(), dirty_lanes_.end(),
                                   lane->second.get()),
                       dirty_lanes_.end());
    lanes_.erase(lane);
  }
  for (auto wait = lane_waits_.begin(); wait != lane_waits_.end();) {
    wait = wait->second.session == session ? lane_waits_.erase(wait)
                                           : std::next(wait);
  }
  std::vector<uint32_t> orphaned;
  for (auto& [number, arena] : arenas_) {
    if (arena.writer == session) orphaned.push_back(number);
  }
  for (const uint32_t number : orphaned) {
    arenas_[number].writer.reset();
    NoteWriterEnded(number);
    // As if one object more had gone.
    ++arenas_[number].objects;
    LeaveArena(number);
  }
  Settle();
}

void ObjectTable::Settle() {
  FreeRetired();
  FlushAnswers();
  if (!retired_.empty() || !expiries_.empty() || !empty_arenas_.empty() ||
      !untidy_arenas_.empty() || lanes_.empty()) {
    wake_();
  }
}

bool ObjectTable::IsEmpty() const {
  absl::MutexLock lock(&mutex_);
  return waiters_ == 0 && watches_ == 0 && lanes_.empty() && arenas_.empty() &&
         empty_arenas_.empty() && directory_.live() == 0;
}

}  // namespace shmd
