#ifndef SHMD_SHM_PAGE_STORE_H_
#define SHMD_SHM_PAGE_STORE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "shm/types.h"

namespace shmd {

// Where an object's pages come from, and hence which limits bound it. A plain
// value.
struct PageStore {
  enum class Kind {
    kMemory,      // memfd, SysV, a file on another tmpfs
    kPosixTmpfs,  // memory, within the size of /dev/shm
    kFileSystem,  // storage
    kHugePages,   // the kernel's pool
  };

  Kind kind = Kind::kMemory;
  uint64_t page_size_bytes = 0;
  uint64_t memory_reserve_bytes = 0;
  std::string path;  // a file of the file system; "" for kMemory without one

  // Whether `bytes` more could be had now. LAZY objects of memory are the
  // daemon's budget's to bound.
  absl::Status Check(uint64_t bytes, Allocation allocation,
                     bool populate) const;

  // A kernel call found no pages for `bytes` although Check had: the same
  // refusal with the numbers of now. Any other `failure` is returned as it is.
  absl::Status Explain(absl::Status failure, uint64_t bytes) const;
};

// That of an object without a file system to show: of memory, or of the pool
// where the pages are larger than the base page size.
PageStore MemoryStore(uint64_t page_size_bytes, uint64_t memory_reserve_bytes);

}  // namespace shmd

#endif  // SHMD_SHM_PAGE_STORE_H_
