#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_FILE_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_FILE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/sys/memory.h"

namespace shmd {

// The memfd of a directory and the daemon's mapping of it, as large as it can
// become. Takes memory before anybody touches it, so a shortage is an error
// and never a signal. Move-only; not thread-safe.
class DirectoryFile {
 public:
  DirectoryFile() = default;

  // Of no size; it can grow up to `max_size_bytes`, and never shrink.
  static absl::StatusOr<DirectoryFile> Create(uint64_t max_size_bytes);

  // Over a memfd of another maker, which cannot shrink either, and holds at
  // most a header that never became ready.
  static absl::StatusOr<DirectoryFile> Adopt(UniqueFd fd,
                                             uint64_t max_size_bytes);

  // Whether a header in the file is ready; of any file.
  static absl::StatusOr<bool> IsReady(int fd);

  // What Create() made in an earlier run. HEADER_CORRUPT for what cannot be.
  static absl::StatusOr<DirectoryFile> TakeUp(UniqueFd fd);

  // Makes the file at least so large, of memory that is not there yet.
  absl::Status Extend(uint64_t size_bytes);

  // Gives a range memory, which leaves `reserve_bytes` to others; what has
  // some is left as it is. MEMORY_EXHAUSTED, CGROUP_LIMIT_EXCEEDED.
  absl::Status TakeMemory(uint64_t offset_bytes, uint64_t length_bytes,
                          uint64_t reserve_bytes);

  // Gives memory back; the range reads as zeros.
  absl::Status GiveBack(uint64_t offset_bytes, uint64_t length_bytes);

  void* base() const { return mapping_.data(); }
  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t max_size_bytes() const { return mapping_.size_bytes(); }
  int fd() const { return fd_.get(); }

  // What the file takes of memory at the moment.
  absl::StatusOr<uint64_t> MemoryBytes() const;

  // For those who only read. Opened anew, so that it cannot be written to.
  absl::StatusOr<UniqueFd> ReadOnlyFd() const;

 private:
  absl::Status Map(uint64_t max_size_bytes);

  UniqueFd fd_;
  sys::ScopedMmap mapping_;
  uint64_t size_bytes_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_FILE_H_
