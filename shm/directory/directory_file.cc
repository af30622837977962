#include "shm/directory/directory_file.h"

#include <fcntl.h>

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/directory/directory_reader.h"
#include "shm/layout/directory_layout.h"
#include "shm/limits.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"

namespace shmd {

absl::Status DirectoryFile::Map(uint64_t max_size_bytes) {
  sys::MmapRequest request;
  request.fd = fd_.get();
  request.length_bytes = max_size_bytes;
  request.writable = true;
  request.reserve_nothing = true;
  ASSIGN_OR_RETURN(mapping_, sys::ScopedMmap::Map(request));
  return absl::OkStatus();
}

absl::StatusOr<DirectoryFile> DirectoryFile::Create(uint64_t max_size_bytes) {
  DirectoryFile file;
  ASSIGN_OR_RETURN(file.fd_, sys::MemfdCreate(/*page_size_bytes=*/0));
  // Nobody else can seal it, against growth for example.
  RETURN_IF_ERROR(sys::AddSeals(file.fd_.get(), F_SEAL_SHRINK | F_SEAL_SEAL));
  RETURN_IF_ERROR(file.Map(max_size_bytes));
  return file;
}

absl::StatusOr<DirectoryFile> DirectoryFile::Adopt(UniqueFd fd,
                                                   uint64_t max_size_bytes) {
  DirectoryFile file;
  file.fd_ = std::move(fd);
  ASSIGN_OR_RETURN(const int seals, sys::GetSeals(file.fd_.get()));
  if ((seals & F_SEAL_SHRINK) == 0) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kObjectUnsuitable, "a directory must not shrink")
        .ToStatus();
  }
  RETURN_IF_ERROR(file.Map(max_size_bytes));
  ASSIGN_OR_RETURN(const sys::FileStat stat, sys::Fstat(file.fd_.get()));
  file.size_bytes_ = static_cast<uint64_t>(stat.st_size);
  return file;
}

absl::StatusOr<bool> DirectoryFile::IsReady(int fd) {
  ASSIGN_OR_RETURN(const sys::FileStat stat, sys::Fstat(fd));
  if (static_cast<uint64_t>(stat.st_size) < sizeof(layout::DirectoryHeader)) {
    return false;
  }
  sys::MmapRequest request;
  request.fd = fd;
  request.length_bytes = sizeof(layout::DirectoryHeader);
  ASSIGN_OR_RETURN(const sys::ScopedMmap header, sys::ScopedMmap::Map(request));
  // SAFETY: the mapping is a header long, and so is the file.
  return layout::HostMemory::Load(
             &static_cast<const layout::DirectoryHeader*>(header.data())
                  ->version,
             std::memory_order_acquire) != 0;
}

absl::StatusOr<DirectoryFile> DirectoryFile::TakeUp(UniqueFd fd) {
  DirectoryFile file;
  file.fd_ = std::move(fd);
  ASSIGN_OR_RETURN(const sys::FileStat stat, sys::Fstat(file.fd_.get()));
  file.size_bytes_ = static_cast<uint64_t>(stat.st_size);
  const Error corrupt =
      Error(absl::StatusCode::kDataLoss, reason::kHeaderCorrupt,
            "the file cannot be a directory");
  ASSIGN_OR_RETURN(const int seals, sys::GetSeals(file.fd_.get()));
  if ((seals & F_SEAL_SHRINK) == 0 ||
      file.size_bytes_ < sizeof(layout::DirectoryHeader)) {
    return corrupt.ToStatus();
  }
  RETURN_IF_ERROR(file.Map(sizeof(layout::DirectoryHeader)));
  // SAFETY: the mapping is a header long, and so is the file.
  const uint64_t max_size_bytes = layout::HostMemory::Load(
      &static_cast<const layout::DirectoryHeader*>(file.base())->max_size_bytes,
      std::memory_order_acquire);
  if (max_size_bytes < file.size_bytes_ ||
      max_size_bytes > layout::kMaxDirectorySizeBytes) {
    return corrupt.ToStatus();
  }
  RETURN_IF_ERROR(file.Map(max_size_bytes));
  RETURN_IF_ERROR(CheckDirectoryHeader(file.base(), max_size_bytes));
  return file;
}

absl::Status DirectoryFile::Extend(uint64_t size_bytes) {
  if (size_bytes <= size_bytes_) return absl::OkStatus();
  if (size_bytes > max_size_bytes()) {
    return Exhausted(reason::kDirectoryFull, "the size of a directory",
                     size_bytes, max_size_bytes());
  }
  RETURN_IF_ERROR(CheckFileSize(size_bytes));
  RETURN_IF_ERROR(sys::Ftruncate(fd_.get(), size_bytes));
  size_bytes_ = size_bytes;
  return absl::OkStatus();
}

absl::Status DirectoryFile::TakeMemory(uint64_t offset_bytes,
                                       uint64_t length_bytes,
                                       uint64_t reserve_bytes) {
  RETURN_IF_ERROR(CheckMemory(length_bytes, reserve_bytes));
  const absl::Status status =
      sys::Preallocate(fd_.get(), offset_bytes, length_bytes);
  if (!absl::IsResourceExhausted(status)) return status;
  return Exhausted(reason::kMemoryExhausted, "memory for the directory",
                   length_bytes, 0);
}

absl::Status DirectoryFile::GiveBack(uint64_t offset_bytes,
                                     uint64_t length_bytes) {
  return sys::PunchHole(fd_.get(), offset_bytes, length_bytes);
}

absl::StatusOr<uint64_t> DirectoryFile::MemoryBytes() const {
  ASSIGN_OR_RETURN(const sys::FileStat stat, sys::Fstat(fd_.get()));
  return static_cast<uint64_t>(stat.st_blocks) * 512;
}

absl::StatusOr<UniqueFd> DirectoryFile::ReadOnlyFd() const {
  return sys::Reopen(fd_.get(), O_RDONLY);
}

}  // namespace shmd
