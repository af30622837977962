#include "shm/sys/page_removal.h"

#include <sys/mman.h>

#include <cerrno>

#include "base/error_reason.h"
#include "shm/sys/errno_table.h"

namespace shmd::sys {
namespace {

constexpr ErrnoRow kRemoveTable[] = {
    {EPERM, absl::StatusCode::kFailedPrecondition, reason::kSegmentSealed,
     "the segment is sealed against writing"},
};

}  // namespace

absl::Status RemovePages(void* address, size_t length_bytes) {
  while (madvise(address, length_bytes, MADV_REMOVE) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    return StatusOfErrno(errno, "madvise(MADV_REMOVE)", kRemoveTable);
  }
  return absl::OkStatus();
}

}  // namespace shmd::sys
