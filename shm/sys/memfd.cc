#include "shm/sys/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/sys/errno_table.h"
#include "shm/sys/file.h"

// Since Linux 6.3; not in every libc's headers.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

namespace shmd::sys {
namespace {

using absl::StatusCode;

constexpr ErrnoRow kMemfdTable[] = {
    {ENODEV, StatusCode::kInvalidArgument, reason::kPageSizeMismatch,
     "the kernel has no pages of this size"},
    {EINVAL, StatusCode::kInvalidArgument, reason::kPageSizeMismatch,
     "the kernel has no pages of this size"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory for a memfd"},
};

constexpr ErrnoRow kSealTable[] = {
    {EBUSY, StatusCode::kFailedPrecondition, reason::kSegmentInUse,
     "somebody has the segment mapped writable"},
    {EPERM, StatusCode::kFailedPrecondition, reason::kSealRefused,
     "no seal may be added to the segment"},
    {EINVAL, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the object cannot be sealed"},
};

unsigned HugeFlags(uint64_t page_size_bytes) {
  if (page_size_bytes <= static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) {
    return 0;
  }
  const unsigned log2 = 63 - __builtin_clzll(page_size_bytes);
  return MFD_HUGETLB | (log2 << MAP_HUGE_SHIFT);
}

}  // namespace

absl::StatusOr<UniqueFd> MemfdCreate(uint64_t page_size_bytes, int* seals) {
  const unsigned flags =
      MFD_CLOEXEC | MFD_ALLOW_SEALING | HugeFlags(page_size_bytes);
  // The name shows up in /proc/PID/maps of everybody who maps it.
  UniqueFd fd(memfd_create("shmd", flags | MFD_NOEXEC_SEAL));
  int first_seals = F_SEAL_EXEC;
  if (!fd.valid() && errno == EINVAL) {
    // Before Linux 6.3; the mode below makes up for it.
    fd = UniqueFd(memfd_create("shmd", flags));
    first_seals = 0;
  }
  if (!fd.valid()) return StatusOfErrno(errno, "memfd_create", kMemfdTable);
  // A fresh memfd is open to all: another uid that holds it read-only could
  // reopen it through /proc for writing.
  RETURN_IF_ERROR(Fchmod(fd.get(), 0600));
  if (seals != nullptr) *seals = first_seals;
  return fd;
}

absl::Status AddSeals(int fd, int seals) {
  if (fcntl(fd, F_ADD_SEALS, seals) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "fcntl(F_ADD_SEALS)", kSealTable);
}

absl::StatusOr<int> GetSeals(int fd) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals >= 0) return seals;
  return StatusOfErrno(errno, "fcntl(F_GET_SEALS)", kSealTable);
}

}  // namespace shmd::sys
