#ifndef SHMD_SHM_ARENA_IDLE_PAGES_H_
#define SHMD_SHM_ARENA_IDLE_PAGES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "shm/arena/extent_allocator.h"

namespace shmd {

// Gives pages of an arena back to the kernel that are not needed, as
// ExtentAllocator::TakeIdle tells them; how many bytes. `base` is where the
// arena is mapped to be written. A page that was in memory costs some 2 us, so
// ask for a few at a time where somebody waits. After an error some have been
// given back.
absl::StatusOr<uint64_t> GiveBackIdlePages(
    ExtentAllocator& extents, char* base,
    const ExtentAllocator::IdleQuery& query);

}  // namespace shmd

#endif  // SHMD_SHM_ARENA_IDLE_PAGES_H_
