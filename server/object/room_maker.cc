#include "server/object/room_maker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "shm/mapping.h"

namespace shmd {
namespace {

// Each file is as large as all that are there together, within these: few files
// hold many objects, and few objects need no large one.
constexpr uint64_t kLeastSpillArenaBytes = uint64_t{1} << 20;
constexpr uint64_t kMostSpillArenaBytes = uint64_t{64} << 20;
// What was chosen may be pinned by the time that it is to go.
constexpr int kChoices = 3;

absl::Status Refused() {
  return Error(absl::StatusCode::kResourceExhausted, reason::kObjectsInUse,
               "there is no memory, and the namespace lets no object go");
}

MapOptions Whole(const SegmentView& segment) {
  MapOptions options;
  options.size_bytes = segment.segment->options.size_bytes;
  options.page_size_bytes = segment.segment->options.page_size_bytes;
  return options;
}

CreateCommand SpillArena(const std::string& name_space, uint32_t number,
                         const SegmentOptions& of, uint64_t size_bytes) {
  CreateCommand command;
  command.name_space = name_space;
  command.id = ArenaSegmentId(number);
  command.role = SegmentRole::kArena;
  // No session's, so that the registry lets none write.
  command.owner_session = RandomUid();
  SegmentOptions& options = command.options;
  options.backend = BackendKind::kMappedFile;
  options.size_bytes = size_bytes;
  options.page_size_bytes = BasePageSizeBytes();
  // A full disk is told now, and not when the bytes are to be written.
  options.allocation = Allocation::kReserved;
  options.seal_policy = SealPolicy::kNeverSealed;
  options.mode = of.mode;
  options.owner = of.owner;
  options.group = of.group;
  options.file_path = absl::StrCat("shmd.spill.", UidToHex(RandomUid()));
  return command;
}

}  // namespace

std::optional<RoomServer::Result> RoomMaker::TryMakeRoom(
    ObjectTable& table, const RoomRequest& request) {
  const WhenFull when_full =
      segments_->namespaces().when_full(request.name_space);
  if (when_full == WhenFull::kRefuse) return Refused();
  uint64_t freed_bytes = 0;
  for (int i = 0; i < kChoices && freed_bytes < request.size_bytes; ++i) {
    const std::vector<VictimGroup> groups =
        table.ChooseVictims(request.session, request.size_bytes);
    if (groups.empty()) break;
    if (when_full == WhenFull::kEvict) {
      freed_bytes += table.Evict(groups);
      continue;
    }
    for (const VictimGroup& group : groups) {
      if (Spill(table, request.name_space, group)) {
        freed_bytes += group.freed_bytes;
      }
    }
  }
  // Also those that others have emptied.
  RemoveEmptyArenas(table);
  if (freed_bytes == 0) return std::nullopt;
  return freed_bytes;
}

void RoomMaker::RemoveEmptyArenas(ObjectTable& table) {
  absl::MutexLock lock(&removing_);
  for (const SegmentView& arena : table.TakeEmptyArenas()) {
    SHMD_FAILPOINT("arena.remove");
    const absl::Status status = segments_->RemoveReserved(arena.entry);
    if (!status.ok()) Log(LogLevel::kError, status.message());
  }
}

bool RoomMaker::Spill(ObjectTable& table, const std::string& name_space,
                      const VictimGroup& group) {
  absl::StatusOr<ObjectTable::SpillPlaces> places = table.BeginSpill(group);
  if (GetErrorReason(places.status()) == reason::kShmSpaceExhausted) {
    const absl::Status added = AddSpillArena(table, name_space, group);
    if (!added.ok()) {
      Log(LogLevel::kDebug,
          absl::StrCat("nothing is spilled: ", added.message()));
      return false;
    }
    places = table.BeginSpill(group);
  }
  bool is_gone = false;
  if (places.ok()) {
    absl::Status copied = SHMD_FAILPOINT_STATUS("spill.copy");
    if (copied.ok()) copied = Copy(group, *places);
    SHMD_FAILPOINT("spill.copied");
    if (!copied.ok()) Log(LogLevel::kError, copied.message());
    is_gone = table.EndSpill(group, *places, copied.ok());
  }
  table.LeaveUnusedPlaces();
  return is_gone;
}

absl::Status RoomMaker::AddSpillArena(ObjectTable& table,
                                      const std::string& name_space,
                                      const VictimGroup& group) {
  ASSIGN_OR_RETURN(const SegmentView from, table.Arena(group.arena));
  const uint64_t least_bytes = ObjectTable::SpillBytes(group);
  const SegmentOptions& options = from.segment->options;
  absl::Status status;
  const uint64_t wanted_bytes = std::clamp(
      table.SpillArenaBytes(), kLeastSpillArenaBytes, kMostSpillArenaBytes);
  for (const uint64_t size_bytes :
       {std::max(wanted_bytes, least_bytes), least_bytes}) {
    const uint32_t number = table.NextArena();
    SHMD_FAILPOINT("spill.create");
    absl::StatusOr<std::vector<SegmentView>> made = segments_->Create(
        self_, {SpillArena(name_space, number, options, size_bytes), 1});
    SHMD_FAILPOINT("spill.created");
    status = made.status();
    if (status.ok()) {
      table.AddArena(number, std::move(made->front()), /*writer=*/{});
      return status;
    }
    // Less may be had.
    if (!absl::IsResourceExhausted(status)) return status;
  }
  return status;
}

absl::Status RoomMaker::Copy(const VictimGroup& group,
                             const ObjectTable::SpillPlaces& places) const {
  ASSIGN_OR_RETURN(const ObjectRef from,
                   segments_->OpenObject(places.from, Access::kRead));
  ASSIGN_OR_RETURN(const ObjectRef to,
                   segments_->OpenObject(places.to, Access::kReadWrite));
  ASSIGN_OR_RETURN(const ReadOnlyMapping source,
                   ReadOnlyMapping::Map(from, Whole(places.from)));
  ASSIGN_OR_RETURN(const WritableMapping target,
                   WritableMapping::Map(to, Whole(places.to)));
  for (size_t i = 0; i < group.victims.size(); ++i) {
    const Candidate& victim = group.victims[i];
    // No signal, should a disk fail or somebody truncate the file.
    RETURN_IF_ERROR(target.Write(
        places.extents[i].offset_bytes,
        source.bytes().subspan(victim.offset_bytes, victim.size_bytes)));
  }
  return absl::OkStatus();
}

}  // namespace shmd
