#include "shm/sys/sysv.h"

#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/sys/errno_table.h"

#ifndef SHM_HUGE_SHIFT
#define SHM_HUGE_SHIFT 26
#endif

namespace shmd::sys {
namespace {

using absl::StatusCode;

constexpr ErrnoRow kCreateTable[] = {
    {EEXIST, StatusCode::kAlreadyExists, reason::kObjectExists,
     "the key has a System V segment already"},
    {ENOENT, StatusCode::kNotFound, reason::kObjectNotFound,
     "the key has no System V segment"},
    {ENOSPC, StatusCode::kResourceExhausted, reason::kSysvLimitExceeded,
     "SHMMNI or SHMALL is reached"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory for the segment"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the daemon may not use this System V segment"},
    // Without CAP_IPC_LOCK and outside of hugetlb_shm_group.
    {EPERM, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the daemon may not make System V segments of huge pages"},
};

constexpr ErrnoRow kHugeCreateTable[] = {
    {EEXIST, StatusCode::kAlreadyExists, reason::kObjectExists,
     "the key has a System V segment already"},
    {EINVAL, StatusCode::kInvalidArgument, reason::kPageSizeMismatch,
     "the kernel has no pages of this size"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kHugepagesExhausted,
     "the pool of huge pages has too few"},
    {ENOSPC, StatusCode::kResourceExhausted, reason::kSysvLimitExceeded,
     "SHMMNI or SHMALL is reached"},
    {EPERM, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the daemon may not make System V segments of huge pages"},
};

constexpr ErrnoRow kControlTable[] = {
    {EINVAL, StatusCode::kNotFound, reason::kObjectNotFound,
     "there is no System V segment of this id"},
    {EIDRM, StatusCode::kNotFound, reason::kObjectNotFound,
     "the System V segment was removed"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "this System V segment may not be used so"},
    {EPERM, StatusCode::kFailedPrecondition, reason::kOwnerNotSettable,
     "the daemon lacks the privilege over this System V segment"},
};

constexpr ErrnoRow kLockTable[] = {
    {ENOMEM, StatusCode::kResourceExhausted, reason::kLockLimitExceeded,
     "no more memory can be locked"},
    {EPERM, StatusCode::kResourceExhausted, reason::kLockLimitExceeded,
     "no memory may be locked"},
};

constexpr ErrnoRow kAttachTable[] = {
    {EINVAL, StatusCode::kNotFound, reason::kObjectNotFound,
     "there is no System V segment of this id"},
    {EIDRM, StatusCode::kNotFound, reason::kObjectNotFound,
     "the System V segment was removed"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "this System V segment may not be used so"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory or address space for the mapping"},
};

constexpr ErrnoRow kAttachAtTable[] = {
    {EINVAL, StatusCode::kFailedPrecondition, reason::kAddressInUse,
     "the address range is in use"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "this System V segment may not be used so"},
};

}  // namespace

absl::StatusOr<int> ShmCreate(const ShmgetRequest& request) {
  int flags = IPC_CREAT | IPC_EXCL | static_cast<int>(request.mode);
  const bool huge =
      request.page_size_bytes > static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (huge) {
    const int log2 = 63 - __builtin_clzll(request.page_size_bytes);
    flags |= SHM_HUGETLB | (log2 << SHM_HUGE_SHIFT);
  } else if (request.reserve_nothing) {
    flags |= SHM_NORESERVE;
  }
  // A key_t is the same bits, signed.
  const int id =
      shmget(static_cast<key_t>(request.key), request.size_bytes, flags);
  if (id >= 0) return id;
  if (huge) {
    return StatusOfErrno(errno, "shmget(SHM_HUGETLB)", kHugeCreateTable);
  }
  // EINVAL can only be the size here.
  if (errno == EINVAL) {
    return StatusOfErrno(ENOSPC, "shmget", kCreateTable);
  }
  return StatusOfErrno(errno, "shmget", kCreateTable);
}

absl::StatusOr<int> ShmFind(uint32_t key) {
  const int id = shmget(static_cast<key_t>(key), 0, 0);
  if (id >= 0) return id;
  return StatusOfErrno(errno, "shmget", kCreateTable);
}

namespace {

SysvStat StatOf(const shmid_ds& found) {
  SysvStat stat;
  stat.key = static_cast<uint32_t>(found.shm_perm.__key);
  stat.size_bytes = found.shm_segsz;
  stat.attach_count = found.shm_nattch;
  stat.owner = found.shm_perm.uid;
  stat.group = found.shm_perm.gid;
  stat.mode = found.shm_perm.mode & 0777;
  // The time of the last shmat(2): 0 is never.
  stat.ever_attached = found.shm_atime != 0;
  stat.removed = (found.shm_perm.mode & SHM_DEST) != 0;
  stat.locked = (found.shm_perm.mode & SHM_LOCKED) != 0;
  return stat;
}

}  // namespace

absl::StatusOr<SysvStat> ShmStat(int id) {
  shmid_ds found = {};
  if (shmctl(id, IPC_STAT, &found) != 0) {
    return StatusOfErrno(errno, "shmctl(IPC_STAT)", kControlTable);
  }
  return StatOf(found);
}

std::vector<SysvSegment> ShmList() {
  std::vector<SysvSegment> segments;
  shm_info use = {};
  const int last = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&use));
  for (int index = 0; index <= last; ++index) {
    shmid_ds found = {};
    // Only those that this process may read: our own are among them.
    const int id = shmctl(index, SHM_STAT, &found);
    if (id < 0) continue;
    SysvSegment segment;
    segment.id = id;
    segment.stat = StatOf(found);
    segment.creator_uid = found.shm_perm.cuid;
    segment.creator_pid = found.shm_cpid;
    segments.push_back(segment);
  }
  return segments;
}

std::optional<uint64_t> ShmResidentBytes(int id) {
  // key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime
  // rss swap
  constexpr size_t kIdColumn = 1;
  constexpr size_t kResidentColumn = 14;
  std::ifstream table("/proc/sysvipc/shm");
  std::string line;
  while (std::getline(table, line)) {
    const std::vector<std::string> columns =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (columns.size() <= kResidentColumn) continue;
    int row_id = 0;
    uint64_t resident_bytes = 0;
    if (absl::SimpleAtoi(columns[kIdColumn], &row_id) && row_id == id &&
        absl::SimpleAtoi(columns[kResidentColumn], &resident_bytes)) {
      return resident_bytes;
    }
  }
  return std::nullopt;
}

uint64_t ShmHugeResidentBytes(int id, uint64_t size_bytes) {
  const absl::StatusOr<ScopedShmat> attached = ScopedShmat::Attach(id, false);
  if (attached.ok()) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(attached->data());
    const std::string path = absl::StrFormat("/proc/self/map_files/%x-%x",
                                             start, start + size_bytes);
    struct stat found = {};
    if (stat(path.c_str(), &found) == 0) {
      return static_cast<uint64_t>(found.st_blocks) * 512;
    }
  }
  return std::min(ShmResidentBytes(id).value_or(0), size_bytes);
}

uint64_t ShmPageSizeBytes(int id) {
  const uint64_t base_page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const absl::StatusOr<ScopedShmat> attached = ScopedShmat::Attach(id, false);
  if (!attached.ok()) return base_page;
  const std::string start =
      absl::StrFormat("%x-", reinterpret_cast<uintptr_t>(attached->data()));
  std::ifstream table("/proc/self/smaps");
  std::string line;
  bool found = false;
  while (std::getline(table, line)) {
    if (absl::StartsWith(line, start)) found = true;
    absl::string_view text = line;
    if (!found || !absl::ConsumePrefix(&text, "KernelPageSize:")) continue;
    uint64_t kilobytes = 0;
    absl::ConsumeSuffix(&text, " kB");
    return absl::SimpleAtoi(text, &kilobytes) ? kilobytes * 1024 : base_page;
  }
  return base_page;
}

absl::Status ShmSetOwnership(int id, uid_t owner, gid_t group, mode_t mode) {
  shmid_ds wanted = {};
  wanted.shm_perm.uid = owner;
  wanted.shm_perm.gid = group;
  wanted.shm_perm.mode = static_cast<decltype(wanted.shm_perm.mode)>(mode);
  if (shmctl(id, IPC_SET, &wanted) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "shmctl(IPC_SET)", kControlTable);
}

absl::Status ShmRemove(int id) {
  if (shmctl(id, IPC_RMID, nullptr) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "shmctl(IPC_RMID)", kControlTable);
}

absl::Status ShmLock(int id) {
  if (shmctl(id, SHM_LOCK, nullptr) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "shmctl(SHM_LOCK)", kLockTable);
}

absl::StatusOr<void*> Shmat(int id, void* fixed_address, bool writable) {
  // Without SHM_REMAP a range that is in use is EINVAL.
  void* const got = shmat(id, fixed_address, writable ? 0 : SHM_RDONLY);
  if (got != MAP_FAILED) return got;
  if (fixed_address != nullptr) {
    return StatusOfErrno(errno, "shmat at an address", kAttachAtTable);
  }
  return StatusOfErrno(errno, "shmat", kAttachTable);
}

absl::Status Shmdt(void* address) {
  if (shmdt(address) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "shmdt", {});
}

absl::StatusOr<ScopedShmat> ScopedShmat::Attach(int id, bool writable) {
  ASSIGN_OR_RETURN(void* const got, Shmat(id, nullptr, writable));
  return ScopedShmat(got);
}

ScopedShmat::ScopedShmat(ScopedShmat&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)) {}

ScopedShmat::~ScopedShmat() {
  if (data_ != nullptr) shmdt(data_);
}

}  // namespace shmd::sys
