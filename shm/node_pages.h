#ifndef SHMD_SHM_NODE_PAGES_H_
#define SHMD_SHM_NODE_PAGES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "shm/types.h"

namespace shmd {

// How many of an object's pages are on each memory node. Makes no page
// resident that was not, and clears none: a page of memory that was reserved
// but never touched is counted nowhere. Of huge pages that are only partly
// there, the kernel does not tell which: those are counted on hosts with one
// node only.

// By a descriptor that is open for reading.
absl::StatusOr<std::vector<NodePages>> CountNodePages(
    int fd, const ObjectStatus& status);

// Of a SysV segment.
absl::StatusOr<std::vector<NodePages>> CountSysvNodePages(
    int id, const ObjectStatus& status);

}  // namespace shmd

#endif  // SHMD_SHM_NODE_PAGES_H_
