#include "shm/sys/sysv_limits.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#include <cerrno>

#include "base/error.h"

namespace shmd::sys {

absl::StatusOr<SysvLimits> ReadSysvLimits() {
  // shmctl(2): both calls write another structure than the prototype says.
  shminfo limits{};
  if (shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&limits)) < 0) {
    return ErrnoStatus(errno, "shmctl");
  }
  shm_info use{};
  if (shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&use)) < 0) {
    return ErrnoStatus(errno, "shmctl");
  }
  SysvLimits out;
  out.max_segments = limits.shmmni;
  out.used_segments = static_cast<uint64_t>(use.used_ids);
  out.max_segment_bytes = limits.shmmax;
  out.max_total_pages = limits.shmall;
  out.used_pages = use.shm_tot;
  return out;
}

}  // namespace shmd::sys
