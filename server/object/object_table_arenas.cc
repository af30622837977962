// The arenas of a table, and memory of those whose writers have ended, which
// nobody will use again.

#include <algorithm>
#include <utility>

#include "server/object/object_names.h"
#include "server/object/object_table.h"
#include "shm/types.h"

namespace shmd {
namespace {

// To look at all objects has to pay: for so much, and an eighth of an arena.
constexpr uint64_t kWorthwhileBytes = 256 << 10;
constexpr uint64_t kWorthwhilePart = 8;

// The whole pages between these extents, up to `end_bytes`.
std::vector<Extent> PagesBetween(std::vector<Extent> used, uint64_t page_bytes,
                                 uint64_t end_bytes) {
  std::sort(used.begin(), used.end(), [](const Extent& a, const Extent& b) {
    return a.offset_bytes < b.offset_bytes;
  });
  used.push_back({end_bytes, 0});
  std::vector<Extent> runs;
  uint64_t at_bytes = 0;
  for (const Extent& extent : used) {
    const uint64_t first = RoundUpToPages(at_bytes, page_bytes);
    const uint64_t last = extent.offset_bytes / page_bytes * page_bytes;
    if (first < last) runs.push_back({first, last - first});
    at_bytes = std::max(at_bytes, extent.offset_bytes + extent.size_bytes);
  }
  return runs;
}

Extent ExtentOf(const EntryFields& entry) {
  return {entry.offset_bytes,
          std::max<uint64_t>(
              ExtentBytes(entry.size_bytes, entry.metadata_bytes), 1)};
}

}  // namespace

uint32_t ObjectTable::NextArena() {
  absl::MutexLock lock(&mutex_);
  return directory_.NextArena();
}

void ObjectTable::AddArena(uint32_t number, SegmentView segment,
                           const SessionId& writer) {
  if (segment.entry != nullptr && segment.entry->object.memfd.valid()) {
    segment.entry->arena_reader.Open(segment.entry->object.memfd.get());
  }
  absl::MutexLock lock(&mutex_);
  ArenaState arena;
  arena.size_bytes = segment.segment->options.size_bytes;
  arena.owner = segment.segment->options.owner;
  if (IsSpillArena(segment.segment->options, segment.segment->role)) {
    arena.spilled = std::make_unique<ExtentAllocator>(arena.size_bytes);
  } else {
    arena.writer = writer;
  }
  arena.is_sealed = segment.segment->state == SegmentState::kSealed;
  arena.segment = std::move(segment);
  arenas_[number] = std::move(arena);
}

void ObjectTable::LeaveArena(uint32_t number) {
  const auto found = arenas_.find(number);
  if (found == arenas_.end()) return;
  ArenaState& arena = found->second;
  if (--arena.objects > 0) return;
  // In what is sealed nothing can be put any more.
  if (arena.writer.has_value() && !arena.is_sealed) return;
  untidy_arenas_.erase(number);
  empty_arenas_.push_back(std::move(arena.segment));
  arenas_.erase(found);
  for (const auto& [session, lane] : lanes_) {
    lane->TellArenaGone(number);
    MarkDirty(*lane);
  }
}

std::vector<SegmentView> ObjectTable::TakeEmptyArenas() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(empty_arenas_, {});
}

void ObjectTable::NoteUsed(const EntryFields& entry) {
  const auto arena = arenas_.find(entry.arena);
  if (arena == arenas_.end()) return;
  arena->second.used_bytes += ExtentOf(entry).size_bytes;
}

void ObjectTable::NoteWriterEnded(uint32_t arena) {
  // What it was writing, and what it had free.
  const ArenaState& state = arenas_[arena];
  if (state.size_bytes >= state.used_bytes + kWorthwhileBytes) {
    untidy_arenas_.insert(arena);
  }
}

void ObjectTable::NoteFreed(uint32_t arena, const EntryFields& entry) {
  const auto found = arenas_.find(arena);
  if (found == arenas_.end()) return;
  ArenaState& state = found->second;
  const uint64_t bytes = ExtentOf(entry).size_bytes;
  state.used_bytes -= std::min(state.used_bytes, bytes);
  // A writer uses again what is freed, and a place to spill to is the table's.
  if (state.writer.has_value() || state.spilled != nullptr) return;
  state.freed_bytes += bytes;
  if (state.freed_bytes >=
      std::max(state.size_bytes / kWorthwhilePart, kWorthwhileBytes)) {
    untidy_arenas_.insert(arena);
  }
}

bool ObjectTable::HasUnusedPages() const {
  absl::MutexLock lock(&mutex_);
  return !untidy_arenas_.empty();
}

std::vector<ObjectTable::UnusedPages> ObjectTable::TakeUnusedPages() {
  absl::flat_hash_map<uint32_t, std::vector<Extent>> used;
  const auto add = [&used](const EntryFields& entry) {
    const auto arena = used.find(entry.arena);
    if (arena != used.end()) arena->second.push_back(ExtentOf(entry));
  };
  {
    absl::MutexLock lock(&mutex_);
    for (const uint32_t number : untidy_arenas_) {
      const auto arena = arenas_.find(number);
      if (arena == arenas_.end() || arena->second.is_sealed) continue;
      arena->second.freed_bytes = 0;
      used[number] = {};
    }
    untidy_arenas_.clear();
  }
  // Nothing is published there any more. Those that are live come first: what
  // is retired before it was come to is still retired at the end, or free.
  for (uint64_t first = 0; !used.empty(); first += kEntriesAtOnce) {
    absl::MutexLock lock(&mutex_);
    if (first >= directory_.ready()) break;
    directory_.ForEachBetween(
        first, first + kEntriesAtOnce,
        [&](uint32_t position) { add(directory_.fields(position)); });
  }
  std::vector<UnusedPages> unused;
  absl::MutexLock lock(&mutex_);
  for (const uint32_t position : directory_.retired()) {
    add(directory_.fields(position));
  }
  for (auto& [number, extents] : used) {
    const auto arena = arenas_.find(number);
    if (arena == arenas_.end()) continue;
    const SegmentOptions& options = arena->second.segment.segment->options;
    unused.push_back({arena->second.segment,
                      PagesBetween(std::move(extents), options.page_size_bytes,
                                   arena->second.size_bytes)});
  }
  return unused;
}

}  // namespace shmd
