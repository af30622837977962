#ifndef SHMD_SHM_LIMITS_H_
#define SHMD_SHM_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace shmd {

// What the kernel can still give, and refusals in words when that is not
// enough (Exhausted in base/error.h). Thread-safe. Checks read the kernel's own
// files and refuse only by what they read anew; none of them takes anything.

struct HugePagePool {
  uint64_t page_size_bytes = 0;
  uint64_t total_pages = 0;
  uint64_t available_pages = 0;  // free and not promised to a mapping
};

// The pools of this kernel; /sys/kernel/mm/hugepages.
std::vector<HugePagePool> ReadHugePagePools();

// MemAvailable of /proc/meminfo.
absl::StatusOr<uint64_t> ReadMemoryAvailableBytes();

// The least room in this process's memory cgroup and its ancestors, v1 or v2;
// nullopt when none has a limit.
std::optional<uint64_t> ReadCgroupAvailableBytes();

// Free bytes for this process in the file system that holds `path`.
absl::StatusOr<uint64_t> ReadFileSystemAvailableBytes(const std::string& path);

// The same of the tmpfs that holds POSIX shared memory.
absl::StatusOr<uint64_t> ReadPosixAvailableBytes();

// MEMORY_EXHAUSTED or CGROUP_LIMIT_EXCEEDED unless `bytes` can become resident
// with `reserve_bytes` to spare. A memory cgroup kills its members rather than
// refuse them, so this comes before every reservation.
absl::Status CheckMemory(uint64_t bytes, uint64_t reserve_bytes);

// SHM_SPACE_EXHAUSTED unless the tmpfs of POSIX shared memory has `bytes`.
absl::Status CheckPosixSpace(uint64_t bytes);

// FILE_SPACE_EXHAUSTED unless the file system of `path` has `bytes`.
absl::Status CheckFileSpace(const std::string& path, uint64_t bytes);

// FILE_SIZE_LIMIT_EXCEEDED when RLIMIT_FSIZE is below `size_bytes`.
absl::Status CheckFileSize(uint64_t size_bytes);

// PAGE_SIZE_MISMATCH when the kernel has no such pages; HUGEPAGES_EXHAUSTED
// unless its pool has room for `size_bytes`.
absl::Status CheckHugePages(uint64_t page_size_bytes, uint64_t size_bytes);

// SYSV_LIMIT_EXCEEDED by SHMMNI, SHMALL or SHMMAX.
absl::Status CheckSysv(uint64_t size_bytes);

// LOCK_LIMIT_EXCEEDED by RLIMIT_MEMLOCK, unless privileged (CAP_IPC_LOCK).
absl::Status CheckLock(uint64_t bytes);

}  // namespace shmd

#endif  // SHMD_SHM_LIMITS_H_
