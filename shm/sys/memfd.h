#ifndef SHMD_SHM_SYS_MEMFD_H_
#define SHMD_SHM_SYS_MEMFD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// Anonymous files of memory. Seals are the F_SEAL_ constants of <fcntl.h>.
// Thread-safe.

// A memfd of size 0 with mode 0600 that can be sealed and never be executed,
// of huge pages when `page_size_bytes` is larger than the base page.
// `seals`, where given, gets the seals that the kernel has put on it.
// PAGE_SIZE_MISMATCH when the kernel has no such pages.
absl::StatusOr<UniqueFd> MemfdCreate(uint64_t page_size_bytes,
                                     int* seals = nullptr);

// SEGMENT_IN_USE when F_SEAL_WRITE meets a mapping that is or can be made
// writable; SEAL_REFUSED when no seal may be added.
absl::Status AddSeals(int fd, int seals);

absl::StatusOr<int> GetSeals(int fd);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_MEMFD_H_
