#include "server/object/victims.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "server/object/object.h"

namespace shmd {
namespace {

// Neighbours [first, last] of an arena's objects.
struct Run {
  size_t arena = 0;
  size_t first = 0;
  size_t last = 0;
  uint64_t bytes = 0;
  Worth worth;  // of the most valuable
};

// What an object leaves to others, who begin at multiples of this too.
uint64_t PlaceBytes(const Candidate& object) {
  const uint64_t granules =
      (object.size_bytes + kPayloadAlignment - 1) / kPayloadAlignment;
  return std::max<uint64_t>(granules, 1) * kPayloadAlignment;
}

// The shortest run that ends at each object, where there is one.
void AddRuns(const std::vector<Candidate>& objects, size_t arena,
             uint64_t size_bytes, std::vector<Run>* runs) {
  uint64_t bytes = 0;
  size_t first = 0;
  std::deque<size_t> most;  // candidates for the most valuable, from the first
  for (size_t last = 0; last < objects.size(); ++last) {
    if (!objects[last].may_go) {
      first = last + 1;
      bytes = 0;
      most.clear();
      continue;
    }
    while (!most.empty() && objects[most.back()].worth < objects[last].worth) {
      most.pop_back();
    }
    most.push_back(last);
    bytes += PlaceBytes(objects[last]);
    while (first < last && bytes - PlaceBytes(objects[first]) >= size_bytes) {
      bytes -= PlaceBytes(objects[first]);
      if (most.front() == first) most.pop_front();
      ++first;
    }
    if (bytes < size_bytes) continue;
    runs->push_back({arena, first, last, bytes, objects[most.front()].worth});
  }
}

uint64_t SizeOf(const std::vector<Candidate>& victims) {
  uint64_t bytes = 0;
  for (const Candidate& victim : victims) bytes += PlaceBytes(victim);
  return bytes;
}

Worth MostValuable(const ArenaContents& arena) {
  Worth most;
  for (const Candidate& object : arena.objects) {
    most = std::max(most, object.worth);
  }
  return most;
}

}  // namespace

std::vector<VictimGroup> ChooseRuns(std::vector<ArenaContents> arenas,
                                    uint64_t size_bytes) {
  std::vector<Run> runs;
  std::vector<std::vector<bool>> taken;
  size_t objects = 0;
  for (size_t i = 0; i < arenas.size(); ++i) {
    std::vector<Candidate>& here = arenas[i].objects;
    std::sort(here.begin(), here.end(),
              [](const Candidate& a, const Candidate& b) {
                return a.offset_bytes < b.offset_bytes;
              });
    AddRuns(here, i, size_bytes, &runs);
    taken.emplace_back(here.size());
    objects += here.size();
  }
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
    if (a.worth < b.worth || b.worth < a.worth) return a.worth < b.worth;
    return a.bytes < b.bytes;
  });
  std::vector<VictimGroup> groups;
  const size_t enough = objects / kObjectsPerFurtherVictim;
  size_t victims = 0;
  for (const Run& run : runs) {
    if (!groups.empty() && victims >= enough) break;
    std::vector<bool>& used = taken[run.arena];
    const auto begin = used.begin() + static_cast<ptrdiff_t>(run.first);
    const auto end = used.begin() + static_cast<ptrdiff_t>(run.last) + 1;
    if (std::find(begin, end, true) != end) continue;
    std::fill(begin, end, true);
    VictimGroup group;
    group.arena = arenas[run.arena].number;
    const auto& here = arenas[run.arena].objects;
    group.victims.assign(here.begin() + static_cast<ptrdiff_t>(run.first),
                         here.begin() + static_cast<ptrdiff_t>(run.last) + 1);
    group.freed_bytes = SizeOf(group.victims);
    victims += group.victims.size();
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<VictimGroup> ChooseArenas(std::vector<ArenaContents> arenas,
                                      uint64_t size_bytes) {
  std::vector<std::pair<Worth, ArenaContents*>> removable;
  for (ArenaContents& arena : arenas) {
    if (std::all_of(arena.objects.begin(), arena.objects.end(),
                    [](const Candidate& object) { return object.may_go; })) {
      removable.emplace_back(MostValuable(arena), &arena);
    }
  }
  std::sort(removable.begin(), removable.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<VictimGroup> groups;
  uint64_t bytes = 0;
  for (auto& [worth, arena] : removable) {
    if (bytes >= size_bytes) break;
    VictimGroup group;
    group.arena = arena->number;
    group.is_whole_arena = true;
    group.freed_bytes = arena->size_bytes;
    group.victims = std::move(arena->objects);
    bytes += group.freed_bytes;
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace shmd
