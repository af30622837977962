// Strict objects: what they lie in is sealed before they are published.

#include <utility>

#include "base/status_macros.h"
#include "server/object/object_table.h"

namespace shmd {

absl::StatusOr<EntryPtr> ObjectTable::BeginSealing(
    const ObjectUser& user, const PublishCommand& command) {
  absl::MutexLock lock(&mutex_);
  return BeginSealingLocked(user, command);
}

absl::StatusOr<EntryPtr> ObjectTable::BeginSealingLocked(
    const ObjectUser& user, const PublishCommand& command) {
  // All that can be refused: what is sealed stays sealed.
  RETURN_IF_ERROR(CheckPublish(user, command));
  const absl::Status named =
      CheckName(user, command, directory_.Find(command.name));
  if (!named.ok()) {
    // An earlier run of the daemon may have sealed it.
    DropUnused(command);
    return named;
  }
  ArenaState& arena = arenas_[command.arena];
  if (std::exchange(arena.is_sealing, true)) return ArenaShared(command.arena);
  return arena.segment.entry;
}

void ObjectTable::EndSealing(uint32_t arena, bool is_sealed) {
  absl::MutexLock lock(&mutex_);
  EndSealingLocked(arena, is_sealed);
}

void ObjectTable::EndSealingLocked(uint32_t arena, bool is_sealed) {
  const auto found = arenas_.find(arena);
  // It goes with its session.
  if (found == arenas_.end()) return;
  found->second.is_sealing = false;
  found->second.is_sealed = found->second.is_sealed || is_sealed;
}

void ObjectTable::DropUnused(const PublishCommand& command) {
  const auto found = arenas_.find(command.arena);
  if (!command.strict || found == arenas_.end() || !found->second.is_sealed ||
      found->second.objects > 0) {
    return;
  }
  // As if one object more had gone.
  ++found->second.objects;
  LeaveArena(command.arena);
}

absl::StatusOr<std::optional<uint64_t>> ObjectTable::PublishStrictByLane(
    Lane& lane, const PublishCommand& command, uint64_t cookie) {
  const ObjectUser user = lane.user();
  const uint32_t existing = directory_.Find(command.name);
  if (existing != 0 && IsRepeated(user, existing, command)) {
    return directory_.fields(existing).generation;
  }
  ASSIGN_OR_RETURN(EntryPtr arena, BeginSealingLocked(user, command));
  sealer_->Seal(lane.session(), std::move(arena),
                [self = shared_from_this(), user, command,
                 cookie](const absl::Status& sealed) {
                  self->FinishStrictByLane(user, command, cookie, sealed);
                });
  return std::nullopt;
}

void ObjectTable::FinishStrictByLane(const ObjectUser& user,
                                     const PublishCommand& command,
                                     uint64_t cookie,
                                     const absl::Status& sealed) {
  absl::MutexLock lock(&mutex_);
  EndSealingLocked(command.arena, sealed.ok());
  absl::Status status = sealed;
  uint64_t generation = 0;
  if (status.ok()) {
    const absl::StatusOr<uint32_t> position = PublishLocked(user, command);
    status = position.status();
    if (status.ok()) {
      generation = directory_.fields(*position).generation;
    } else {
      DropUnused(command);
    }
  }
  const auto lane = lanes_.find(*user.session);
  if (lane != lanes_.end()) Answer(*lane->second, cookie, status, generation);
  Settle();
}

}  // namespace shmd
