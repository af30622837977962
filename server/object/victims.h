#ifndef SHMD_SERVER_OBJECT_VICTIMS_H_
#define SHMD_SERVER_OBJECT_VICTIMS_H_

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

namespace shmd {

// What an object is worth when room has to be made: the least goes first.
struct Worth {
  uint8_t priority = 0;
  uint64_t last_use = 0;  // of uses, a later one has a larger number

  friend bool operator<(const Worth& a, const Worth& b) {
    return std::tie(a.priority, a.last_use) < std::tie(b.priority, b.last_use);
  }
};

// An object that is there, as it was when it was looked at.
struct Candidate {
  uint32_t position = 0;  // in the directory
  uint64_t generation = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;  // with metadata
  Worth worth;
  bool may_go = false;  // neither pinned nor leased
};

// An arena and all that lies in it.
struct ArenaContents {
  uint32_t number = 0;
  uint64_t size_bytes = 0;
  std::vector<Candidate> objects;
};

// Objects of one arena that go together, or not at all.
struct VictimGroup {
  uint32_t arena = 0;
  bool is_whole_arena = false;
  uint64_t freed_bytes = 0;
  std::vector<Candidate> victims;
};

// In arenas with a writer: runs of neighbours, each of which leaves at least
// `size_bytes` in one piece. Of all runs that would, the one whose most
// valuable object is worth least; then, where there are very many objects,
// some runs more, because it is dear to look at all of them: one object in
// `kObjectsPerFurtherVictim`. Empty when pins and leases leave no such run.
inline constexpr size_t kObjectsPerFurtherVictim = 256;
std::vector<VictimGroup> ChooseRuns(std::vector<ArenaContents> arenas,
                                    uint64_t size_bytes);

// Of arenas without a writer: whole ones of which everything may go, those
// first whose most valuable object is worth least, until their sizes add up to
// `size_bytes` or none is left.
std::vector<VictimGroup> ChooseArenas(std::vector<ArenaContents> arenas,
                                      uint64_t size_bytes);

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_VICTIMS_H_
