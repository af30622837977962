#include "shm/arena/idle_pages.h"

#include "base/status_macros.h"
#include "shm/sys/page_removal.h"

namespace shmd {

absl::StatusOr<uint64_t> GiveBackIdlePages(
    ExtentAllocator& extents, char* base,
    const ExtentAllocator::IdleQuery& query) {
  uint64_t given_back_bytes = 0;
  for (const Extent& idle : extents.TakeIdle(query)) {
    RETURN_IF_ERROR(
        sys::RemovePages(base + idle.offset_bytes, idle.size_bytes));
    given_back_bytes += idle.size_bytes;
  }
  return given_back_bytes;
}

}  // namespace shmd
