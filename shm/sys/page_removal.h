#ifndef SHMD_SHM_SYS_PAGE_REMOVAL_H_
#define SHMD_SHM_SYS_PAGE_REMOVAL_H_

#include <cstddef>

#include "absl/status/status.h"

namespace shmd::sys {

// Gives whole pages of a shared, writable mapping back to the kernel: the
// object has a hole there, which reads as zeros for everybody and takes memory
// again when it is written. SEGMENT_SEALED where the object is sealed against
// writing. Thread-safe.
absl::Status RemovePages(void* address, size_t length_bytes);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_PAGE_REMOVAL_H_
