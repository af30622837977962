#include "shm/sys/memory.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/sys/errno_table.h"

namespace shmd {
namespace sys {
namespace {

using absl::StatusCode;

constexpr ErrnoRow kMmapTable[] = {
    {EEXIST, StatusCode::kFailedPrecondition, reason::kAddressInUse,
     "the address range is in use"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory or address space for the mapping"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the descriptor does not allow this mapping"},
    // Of a memfd with F_SEAL_WRITE or F_SEAL_FUTURE_WRITE.
    {EPERM, StatusCode::kFailedPrecondition, reason::kSegmentSealed,
     "the segment is sealed against writing"},
    {ENODEV, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the object cannot be mapped"},
    {EOVERFLOW, StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
     "the range is beyond what can be mapped"},
};

constexpr ErrnoRow kMlockTable[] = {
    {ENOMEM, StatusCode::kResourceExhausted, reason::kLockLimitExceeded,
     "no more memory can be locked"},
    {EAGAIN, StatusCode::kResourceExhausted, reason::kLockLimitExceeded,
     "no more memory can be locked"},
    {EPERM, StatusCode::kResourceExhausted, reason::kLockLimitExceeded,
     "no memory may be locked"},
};

constexpr ErrnoRow kPopulateTable[] = {
    // The page is behind the end of the object: a touch would be SIGBUS.
    {EFAULT, StatusCode::kDataLoss, reason::kSegmentTruncated,
     "the object is smaller than the segment"},
    {EHWPOISON, StatusCode::kDataLoss, reason::kSegmentTruncated,
     "a page of the object is lost to a hardware error"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory for the pages"},
};

constexpr ErrnoRow kCopyTable[] = {
    {EFAULT, StatusCode::kDataLoss, reason::kSegmentTruncated,
     "the object is smaller than the segment"},
};

absl::Status Populate(void* address, size_t length_bytes, int advice) {
  // Each pass makes progress: what is populated is found quickly again.
  while (madvise(address, length_bytes, advice) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    return StatusOfErrno(errno, "madvise(MADV_POPULATE)", kPopulateTable);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<void*> Mmap(const MmapRequest& request) {
  const int protection = PROT_READ | (request.writable ? PROT_WRITE : 0);
  int flags = request.private_copy ? MAP_PRIVATE : MAP_SHARED;
  if (request.anonymous) flags |= MAP_ANONYMOUS;
  if (request.reserve_nothing) flags |= MAP_NORESERVE;
  if (request.fixed_address != nullptr) flags |= MAP_FIXED_NOREPLACE;
  void* const got =
      mmap(request.fixed_address, request.length_bytes, protection, flags,
           request.fd, static_cast<off_t>(request.offset_bytes));
  if (got == MAP_FAILED) return StatusOfErrno(errno, "mmap", kMmapTable);
  if (request.fixed_address != nullptr && got != request.fixed_address) {
    // A kernel before 4.17 takes the address as a hint only.
    munmap(got, request.length_bytes);
    return StatusOfErrno(EEXIST, "mmap", kMmapTable);
  }
  return got;
}

absl::Status Munmap(void* address, size_t length_bytes) {
  if (munmap(address, length_bytes) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "munmap", {});
}

absl::Status Mlock(void* address, size_t length_bytes) {
  if (mlock(address, length_bytes) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "mlock", kMlockTable);
}

absl::Status PopulateForWriting(void* address, size_t length_bytes) {
  return Populate(address, length_bytes, MADV_POPULATE_WRITE);
}

absl::Status PopulateForReading(void* address, size_t length_bytes) {
  return Populate(address, length_bytes, MADV_POPULATE_READ);
}

absl::Status AdviseHugePages(void* address, size_t length_bytes, bool wanted) {
  if (madvise(address, length_bytes,
              wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0) {
    return absl::OkStatus();
  }
  return StatusOfErrno(errno, "madvise", {});
}

absl::Status Msync(void* address, size_t length_bytes, bool invalidate) {
  const int flags = MS_SYNC | (invalidate ? MS_INVALIDATE : 0);
  if (msync(address, length_bytes, flags) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "msync", {});
}

absl::StatusOr<std::vector<bool>> ResidentPages(void* address,
                                                size_t length_bytes) {
  const size_t page_size_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> flags((length_bytes + page_size_bytes - 1) /
                                   page_size_bytes);
  while (mincore(address, length_bytes, flags.data()) != 0) {
    if (errno == EAGAIN) continue;
    return StatusOfErrno(errno, "mincore", {});
  }
  std::vector<bool> resident(flags.size());
  for (size_t i = 0; i < flags.size(); ++i) resident[i] = (flags[i] & 1) != 0;
  return resident;
}

absl::StatusOr<size_t> CopyFromOwnMemory(const void* from,
                                         absl::Span<char> out) {
  const iovec local = {out.data(), out.size()};
  // SAFETY: the kernel only reads from what `remote` points to.
  const iovec remote = {const_cast<void*>(from), out.size()};
  const ssize_t copied = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  if (copied > 0) return static_cast<size_t>(copied);
  return StatusOfErrno(copied == 0 ? EFAULT : errno, "process_vm_readv",
                       kCopyTable);
}

absl::StatusOr<size_t> CopyToOwnMemory(void* to, absl::Span<const char> data) {
  // SAFETY: the kernel only reads from what `local` points to.
  const iovec local = {const_cast<char*>(data.data()), data.size()};
  const iovec remote = {to, data.size()};
  const ssize_t copied = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
  if (copied > 0) return static_cast<size_t>(copied);
  return StatusOfErrno(copied == 0 ? EFAULT : errno, "process_vm_writev",
                       kCopyTable);
}

absl::StatusOr<ScopedMmap> ScopedMmap::Map(const MmapRequest& request) {
  ASSIGN_OR_RETURN(void* const got, Mmap(request));
  ScopedMmap mapped;
  mapped.data_ = got;
  mapped.size_bytes_ = request.length_bytes;
  return mapped;
}

ScopedMmap::ScopedMmap(ScopedMmap&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

ScopedMmap& ScopedMmap::operator=(ScopedMmap&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

ScopedMmap::~ScopedMmap() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

}  // namespace sys

absl::Status LockedPages::Add(int fd, uint64_t offset_bytes,
                              uint64_t length_bytes) {
  sys::MmapRequest request;
  request.fd = fd;
  request.offset_bytes = offset_bytes;
  request.length_bytes = length_bytes;
  ASSIGN_OR_RETURN(sys::ScopedMmap range, sys::ScopedMmap::Map(request));
  RETURN_IF_ERROR(sys::Mlock(range.data(), range.size_bytes()));
  const std::lock_guard<std::mutex> lock(mutex_);
  ranges_.push_back(std::move(range));
  return absl::OkStatus();
}

void LockedPages::Clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ranges_.clear();
}

uint64_t LockedPages::size_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t total = 0;
  for (const sys::ScopedMmap& range : ranges_) total += range.size_bytes();
  return total;
}

}  // namespace shmd
