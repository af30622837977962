#ifndef SHMD_SERVER_CENSUS_OBJECT_ID_H_
#define SHMD_SERVER_CENSUS_OBJECT_ID_H_

#include <cstdint>
#include <tuple>
#include <utility>

#include "absl/status/statusor.h"
#include "shm/kernel_object.h"

namespace shmd {

// What tells one object of shared memory from the others while both exist: an
// inode, also of a memfd, or a shmid. A plain value.
struct ObjectId {
  enum class Kind : uint8_t { kInode, kSysv };

  Kind kind = Kind::kInode;
  uint64_t device = 0;  // kInode; as st_dev has it
  uint64_t number = 0;  // the inode's, or the shmid

  friend bool operator==(const ObjectId& a, const ObjectId& b) {
    return a.kind == b.kind && a.device == b.device && a.number == b.number;
  }
  friend bool operator<(const ObjectId& a, const ObjectId& b) {
    return std::tie(a.kind, a.device, a.number) <
           std::tie(b.kind, b.device, b.number);
  }
  template <typename H>
  friend H AbslHashValue(H state, const ObjectId& id) {
    return H::combine(std::move(state), id.kind, id.device, id.number);
  }
};

// The id of what a segment's backend has opened (Backend::Open).
absl::StatusOr<ObjectId> IdOf(const ObjectRef& object);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_OBJECT_ID_H_
