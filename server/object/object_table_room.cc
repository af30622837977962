// What goes when there is no memory: which objects, and how.

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/object/object_names.h"
#include "server/object/object_table.h"
#include "shm/types.h"

namespace shmd {
namespace {

constexpr size_t kGroupsAtOnce = 64;
// From here on a payload begins at a page, as its writer has it.
constexpr uint64_t kPageAlignedFromBytes = 64 << 10;

Error NotAsTheyWere() {
  return Error(absl::StatusCode::kResourceExhausted, reason::kObjectsInUse,
               "the objects that were to make room are in use now");
}

uint64_t AlignmentOf(const Candidate& victim) {
  return victim.size_bytes >= kPageAlignedFromBytes
             ? BasePageSizeBytes()
             : ExtentAllocator::kGranuleBytes;
}

uint32_t LeaseSeconds(absl::Time end) {
  const int64_t seconds = absl::ToUnixSeconds(end) + 1;
  return static_cast<uint32_t>(
      std::clamp<int64_t>(seconds, 1, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

void ObjectTable::AddRecentUses() {
  for (const auto& [session, lane] : lanes_) {
    lane->ReadRecent([this](uint32_t position) {
      if (directory_.IsLive(position)) uses_.Touch(position);
    });
  }
}

ObjectTable::Positions ObjectTable::CollectAllPins() const {
  Positions pinned = copied_;
  for (const auto& [session, lane] : lanes_) {
    lane->ForEachPin([&](uint32_t position) { pinned.insert(position); });
  }
  return pinned;
}

Candidate ObjectTable::CandidateOf(uint32_t position,
                                   const Positions& pinned) const {
  const EntryFields entry = directory_.fields(position);
  Candidate object;
  object.position = position;
  object.generation = entry.generation;
  object.offset_bytes = entry.offset_bytes;
  object.size_bytes = ExtentBytes(entry.size_bytes, entry.metadata_bytes);
  object.worth = {entry.priority, uses_.LastUse(position)};
  object.may_go =
      entry.lease_expire_s <= absl::ToUnixSeconds(clock_->WallTime()) &&
      !pinned.contains(position);
  return object;
}

std::vector<VictimGroup> ObjectTable::ChooseVictims(const SessionId& session,
                                                    uint64_t size_bytes) {
  absl::flat_hash_map<uint32_t, ArenaContents> own, ended;
  Positions pinned;
  {
    absl::MutexLock lock(&mutex_);
    AddRecentUses();
    pinned = CollectAllPins();
    for (const auto& [number, arena] : arenas_) {
      if (arena.spilled != nullptr) continue;
      if (arena.writer.has_value() && arena.writer != session) continue;
      // Nothing more is put into what is sealed: it goes as a whole.
      const bool is_used = arena.writer.has_value() && !arena.is_sealed;
      (is_used ? own : ended)[number] = {number, arena.size_bytes, {}};
    }
    // Their bytes are used still.
    for (const Retired& one : retired_) {
      for (auto* const arenas : {&own, &ended}) {
        const auto arena = arenas->find(one.arena);
        if (arena == arenas->end()) continue;
        Candidate object = CandidateOf(one.position, pinned);
        object.may_go = false;
        arena->second.objects.push_back(object);
      }
    }
  }
  for (uint64_t first = 0;; first += kEntriesAtOnce) {
    absl::MutexLock lock(&mutex_);
    if (first >= directory_.ready()) break;
    directory_.ForEachBetween(
        first, first + kEntriesAtOnce, [&](uint32_t position) {
          const uint32_t number = directory_.fields(position).arena;
          for (auto* const arenas : {&own, &ended}) {
            const auto arena = arenas->find(number);
            if (arena == arenas->end()) continue;
            arena->second.objects.push_back(CandidateOf(position, pinned));
          }
        });
  }
  const auto values = [](absl::flat_hash_map<uint32_t, ArenaContents>& from) {
    std::vector<ArenaContents> all;
    for (auto& [number, arena] : from) all.push_back(std::move(arena));
    return all;
  };
  std::vector<VictimGroup> groups = ChooseRuns(values(own), size_bytes);
  if (groups.empty()) groups = ChooseArenas(values(ended), size_bytes);
  return groups;
}

bool ObjectTable::MayGo(const VictimGroup& group,
                        const Positions& pinned) const {
  const auto arena = arenas_.find(group.arena);
  if (arena == arenas_.end()) return false;
  // Something else may lie there by now.
  const bool is_used =
      arena->second.writer.has_value() && !arena->second.is_sealed;
  if (group.is_whole_arena &&
      (is_used || arena->second.objects != group.victims.size())) {
    return false;
  }
  return std::all_of(
      group.victims.begin(), group.victims.end(), [&](const Candidate& victim) {
        if (!directory_.IsLive(victim.position)) return false;
        const Candidate now = CandidateOf(victim.position, pinned);
        return now.generation == victim.generation && now.may_go;
      });
}

uint64_t ObjectTable::Evict(absl::Span<const VictimGroup> groups) {
  uint64_t freed_bytes = 0;
  while (!groups.empty()) {
    absl::MutexLock lock(&mutex_);
    // Who pins one of them from here on is seen when they are to be freed.
    const Positions pinned = CollectAllPins();
    for (const VictimGroup& group : groups.subspan(0, kGroupsAtOnce)) {
      if (!MayGo(group, pinned)) continue;
      for (const Candidate& victim : group.victims) {
        SHMD_FAILPOINT("object.evict");
        directory_.Unlink(victim.position);
        SHMD_FAILPOINT("object.evicted");
        Retire(victim.position);
      }
      freed_bytes += group.freed_bytes;
    }
    LookAtPinsNow();
    Settle();
    groups = groups.subspan(std::min(kGroupsAtOnce, groups.size()));
  }
  return freed_bytes;
}

uint64_t ObjectTable::SpillBytes(const VictimGroup& group) {
  uint64_t bytes = 0;
  for (const Candidate& victim : group.victims) {
    bytes = RoundUpToPages(bytes, AlignmentOf(victim)) +
            RoundUpToPages(std::max<uint64_t>(victim.size_bytes, 1),
                           ExtentAllocator::kGranuleBytes);
  }
  return RoundUpToPages(bytes, BasePageSizeBytes());
}

void ObjectTable::GiveBackPlaces(const SpillPlaces& places) {
  const auto arena = arenas_.find(places.arena);
  if (arena == arenas_.end()) return;
  for (const Extent& extent : places.extents) {
    arena->second.spilled->Free(extent);
  }
}

absl::StatusOr<SegmentView> ObjectTable::Arena(uint32_t number) const {
  absl::MutexLock lock(&mutex_);
  const auto arena = arenas_.find(number);
  if (arena == arenas_.end()) return NotAsTheyWere().ToStatus();
  return arena->second.segment;
}

uint64_t ObjectTable::SpillArenaBytes() const {
  absl::MutexLock lock(&mutex_);
  uint64_t bytes = 0;
  for (const auto& [number, arena] : arenas_) {
    if (arena.spilled != nullptr) bytes += arena.size_bytes;
  }
  return bytes;
}

absl::StatusOr<ObjectTable::SpillPlaces> ObjectTable::BeginSpill(
    const VictimGroup& group) {
  absl::MutexLock lock(&mutex_);
  if (!MayGo(group, CollectAllPins())) return NotAsTheyWere().ToStatus();
  SpillPlaces places;
  places.from = arenas_[group.arena].segment;
  const SegmentOptions& from = places.from.segment->options;
  for (auto& [number, arena] : arenas_) {
    const SegmentOptions& to = arena.segment.segment->options;
    if (arena.spilled == nullptr || to.owner != from.owner ||
        to.group != from.group || to.mode != from.mode) {
      continue;
    }
    places.arena = number;
    places.to = arena.segment;
    places.extents.clear();
    for (const Candidate& victim : group.victims) {
      const std::optional<Extent> extent = arena.spilled->Allocate(
          std::max<uint64_t>(victim.size_bytes, 1), AlignmentOf(victim));
      if (!extent.has_value()) break;
      places.extents.push_back(*extent);
    }
    if (places.extents.size() < group.victims.size()) {
      GiveBackPlaces(places);
      continue;
    }
    // It stays while they are on their way.
    arena.objects += places.extents.size();
    for (const Candidate& victim : group.victims) {
      copied_.insert(victim.position);
    }
    return places;
  }
  return Error(absl::StatusCode::kResourceExhausted, reason::kShmSpaceExhausted,
               "there is no place to spill to")
      .ToStatus();
}

bool ObjectTable::MoveTo(const Candidate& victim, uint32_t arena,
                         const Extent& place) {
  // It may have been deleted or replaced while it was copied.
  if (!directory_.IsLive(victim.position)) return false;
  EntryFields fields = directory_.fields(victim.position);
  if (fields.generation != victim.generation) return false;
  fields.state = layout::EntryState::kSpilled;
  fields.arena = arena;
  fields.offset_bytes = place.offset_bytes;
  uint32_t position = 0;
  SHMD_FAILPOINT("object.spill");
  if (!directory_.Publish(directory_.key(victim.position), fields, &position)
           .ok()) {
    return false;
  }
  SHMD_FAILPOINT("object.spilled");
  uses_.Move(victim.position, position);
  Retire(victim.position);
  // A listing that a watch begins with may have passed the new position, and
  // not yet come to the old one.
  if (events_ != nullptr) {
    NoteEvent(ObjectEvent::Type::kCreated, directory_.key(position), fields);
  }
  if (fields.expire_time_ns != 0) {
    expiries_.insert({fields.expire_time_ns, position});
  }
  return true;
}

bool ObjectTable::EndSpill(const VictimGroup& group, const SpillPlaces& places,
                           bool is_copied) {
  absl::MutexLock lock(&mutex_);
  bool all_moved = true;
  for (size_t i = 0; i < group.victims.size(); ++i) {
    const Candidate& victim = group.victims[i];
    copied_.erase(victim.position);
    if (is_copied && MoveTo(victim, places.arena, places.extents[i])) continue;
    all_moved = false;
    arenas_[places.arena].spilled->Free(places.extents[i]);
    LeaveArena(places.arena);
  }
  LookAtPinsNow();
  Settle();
  return all_moved;
}

void ObjectTable::TakeUpPlaces() {
  struct Place {
    uint32_t arena;
    Extent extent;
  };
  std::vector<Place> places;
  const auto add = [&](uint32_t position) {
    const EntryFields entry = directory_.fields(position);
    const auto arena = arenas_.find(entry.arena);
    if (arena == arenas_.end() || arena->second.spilled == nullptr) return;
    const uint64_t bytes = ExtentBytes(entry.size_bytes, entry.metadata_bytes);
    places.push_back(
        {entry.arena,
         {entry.offset_bytes, RoundUpToPages(std::max<uint64_t>(bytes, 1),
                                             ExtentAllocator::kGranuleBytes)}});
  };
  directory_.ForEach(add);
  for (const uint32_t position : directory_.retired()) add(position);
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.extent.offset_bytes < b.extent.offset_bytes;
  });
  for (const Place& place : places) {
    arenas_[place.arena].spilled->Reserve(place.extent);
  }
  // The last run was about to spill something there.
  LeaveUnusedPlacesLocked();
}

void ObjectTable::LeaveUnusedPlaces() {
  absl::MutexLock lock(&mutex_);
  LeaveUnusedPlacesLocked();
}

void ObjectTable::LeaveUnusedPlacesLocked() {
  std::vector<uint32_t> unused;
  for (const auto& [number, arena] : arenas_) {
    if (arena.spilled != nullptr && arena.objects == 0) {
      unused.push_back(number);
    }
  }
  for (const uint32_t number : unused) {
    ++arenas_[number].objects;
    LeaveArena(number);
  }
}

absl::StatusOr<ObjectView> ObjectTable::Lease(
    const NameKey& name, uint64_t generation, absl::Duration ttl,
    const std::function<absl::Status(const ObjectView&)>& check) {
  absl::MutexLock lock(&mutex_);
  const uint32_t position = directory_.Find(name);
  if (position == 0) return ObjectNotFound(name).ToStatus();
  RETURN_IF_ERROR(check(ViewOf(position)));
  RETURN_IF_ERROR(CheckGeneration(position, generation));
  const uint32_t end = LeaseSeconds(clock_->WallTime() + ttl);
  SHMD_FAILPOINT("object.lease");
  if (end > directory_.fields(position).lease_expire_s) {
    directory_.SetLease(position, end);
  }
  return ViewOf(position);
}

void ObjectTable::OnRoomAsked(std::function<void(const RoomAsk&)> ask) {
  absl::MutexLock lock(&mutex_);
  ask_for_room_ = std::move(ask);
}

void ObjectTable::AskForRoom(Lane& lane, const layout::Submission& submission) {
  absl::Status status;
  if (submission.size_bytes == 0 ||
      submission.size_bytes > ExtentAllocator::kMaxSizeBytes) {
    status = InvalidField("submission.size_bytes", reason::kFieldInvalid,
                          "is 0, or more than an arena can have");
  } else if (lane.awaits >= kMaxAwaitsOfLane || ask_for_room_ == nullptr) {
    status = Exhausted(reason::kWatchLimitExceeded, "waits of a session", 1, 0,
                       "waits");
  }
  if (!status.ok()) return Answer(lane, submission.cookie, status, 0);
  RoomAsk ask;
  ask.session = lane.session();
  ask.cookie = submission.cookie;
  ask.size_bytes = submission.size_bytes;
  constexpr uint64_t kLongestNs = uint64_t{3600} * 1000000000;
  ask.wait = absl::Nanoseconds(
      static_cast<int64_t>(std::min(submission.ttl_ns, kLongestNs)));
  ++lane.awaits;
  ask_for_room_(ask);
}

void ObjectTable::AnswerRoom(const RoomAsk& ask,
                             const absl::StatusOr<uint64_t>& freed) {
  absl::MutexLock lock(&mutex_);
  const auto lane = lanes_.find(ask.session);
  if (lane == lanes_.end()) return;
  --lane->second->awaits;
  // What has gone is to be used by then, however much it is.
  lane->second->AnswerInTurn(ask.cookie, freed.status(), freed.value_or(0));
  MarkDirty(*lane->second);
  FlushAnswers();
}

}  // namespace shmd
