#ifndef SHMD_SHM_SYS_MEMORY_H_
#define SHMD_SHM_SYS_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace shmd {
namespace sys {

// Address ranges: one system call each, errors by table. Thread-safe.

struct MmapRequest {
  int fd = -1;
  uint64_t offset_bytes = 0;  // at a page
  size_t length_bytes = 0;
  bool writable = false;
  bool private_copy = false;
  bool anonymous = false;  // of no `fd`; shared with children all the same
  // MAP_NORESERVE: for mappings that nobody will touch.
  bool reserve_nothing = false;
  // Never replaces what is there: ADDRESS_IN_USE.
  void* fixed_address = nullptr;
};

absl::StatusOr<void*> Mmap(const MmapRequest& request);

// Fails only for ranges that Mmap did not return.
absl::Status Munmap(void* address, size_t length_bytes);

// LOCK_LIMIT_EXCEEDED without numbers: the caller knows what it asked for.
absl::Status Mlock(void* address, size_t length_bytes);

// Faults all pages of a shared mapping in, for writing or for reading, without
// ever raising a signal: SEGMENT_TRUNCATED when the object ends before,
// MEMORY_EXHAUSTED when there are no pages.
absl::Status PopulateForWriting(void* address, size_t length_bytes);
absl::Status PopulateForReading(void* address, size_t length_bytes);

// Asks for transparent huge pages, or asks for none.
absl::Status AdviseHugePages(void* address, size_t length_bytes, bool wanted);

// Writes the changes of a file's mapping to its storage and waits for it.
absl::Status Msync(void* address, size_t length_bytes, bool invalidate);

// Whether each base page of the range is in memory.
absl::StatusOr<std::vector<bool>> ResidentPages(void* address,
                                                size_t length_bytes);

// Copies from or to this process's own memory; fails instead of raising SIGBUS
// or SIGSEGV. Returns how many bytes were copied, at least 1;
// SEGMENT_TRUNCATED when not even the first could be.
absl::StatusOr<size_t> CopyFromOwnMemory(const void* from,
                                         absl::Span<char> out);
absl::StatusOr<size_t> CopyToOwnMemory(void* to, absl::Span<const char> data);

// An address range that is unmapped at its end. Move-only.
class ScopedMmap {
 public:
  ScopedMmap() = default;
  static absl::StatusOr<ScopedMmap> Map(const MmapRequest& request);

  ScopedMmap(ScopedMmap&& other) noexcept;
  ScopedMmap& operator=(ScopedMmap&& other) noexcept;
  ~ScopedMmap();

  void* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  void* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace sys

// Pages of one object that stay in memory while this lives: mappings of it
// that are mlock(2)ed. Thread-safe.
class LockedPages {
 public:
  LockedPages() = default;

  // Locks a range more. `fd` should be open for reading only: a mapping that
  // could be made writable would stand in the way of F_SEAL_WRITE.
  absl::Status Add(int fd, uint64_t offset_bytes, uint64_t length_bytes);

  // Unlocks all.
  void Clear();

  uint64_t size_bytes() const;

 private:
  mutable std::mutex mutex_;
  std::vector<sys::ScopedMmap> ranges_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYS_MEMORY_H_
