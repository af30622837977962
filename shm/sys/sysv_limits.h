#ifndef SHMD_SHM_SYS_SYSV_LIMITS_H_
#define SHMD_SHM_SYS_SYSV_LIMITS_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace shmd::sys {

// The limits of System V shared memory in this IPC namespace and their use:
// shmctl(2) IPC_INFO and SHM_INFO.
struct SysvLimits {
  uint64_t max_segments = 0;  // SHMMNI
  uint64_t used_segments = 0;
  uint64_t max_segment_bytes = 0;  // SHMMAX
  uint64_t max_total_pages = 0;    // SHMALL, of the base page
  uint64_t used_pages = 0;
};

absl::StatusOr<SysvLimits> ReadSysvLimits();

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_SYSV_LIMITS_H_
