#ifndef SHMD_SHM_KERNEL_OBJECT_H_
#define SHMD_SHM_KERNEL_OBJECT_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "base/unique_fd.h"
#include "shm/types.h"

namespace shmd {

// Keeps pages locked in memory for as long as it lives (sys/memory.h makes it).
class LockedPages;

// Names one kernel object so that it can be found again, also by a later
// daemon. A plain value, which the store keeps.
struct ObjectName {
  BackendKind backend = BackendKind::kMemfd;
  std::string posix_name;  // with its slash
  uint32_t sysv_key = 0;
  int sysv_id = -1;
  std::string file_root;  // absolute
  std::string file_path;  // relative to file_root
  // What the name led to when it was recorded; another object under the same
  // name is told by these. `inode` is mixed with the time of birth, as numbers
  // of inodes are used anew. For SysV, whose shmids carry a sequence number and
  // so tell one segment from the next within a boot, device is 0 and inode 64
  // bits of the boot's id.
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t file_system = 0;  // MAPPED_FILE only: sys::FileSystem.id
};

// The size of a memfd that is yet to be made; 0 once it is. May be moved while
// one thread alone has it.
class LateSize {
 public:
  LateSize() = default;
  explicit LateSize(uint64_t bytes) : bytes_(bytes) {}
  LateSize(LateSize&& other) noexcept : bytes_(other.Get()) {}
  LateSize& operator=(LateSize&& other) noexcept {
    bytes_.store(other.Get(), std::memory_order_relaxed);
    return *this;
  }

  uint64_t Get() const { return bytes_.load(std::memory_order_acquire); }
  void Clear() { bytes_.store(0, std::memory_order_release); }

 private:
  std::atomic<uint64_t> bytes_{0};
};

// One kernel object as the daemon holds it: its name, and for a memfd the only
// descriptor that keeps it alive. Owned by the registry; const members are
// safe from many threads.
struct KernelObject {
  ObjectName name;
  uint64_t page_size_bytes = 0;
  // MEMFD only, read-write. None yet while `late` has its size: the backend
  // makes it when it is opened first.
  mutable UniqueFd memfd;
  mutable LateSize late;
  int first_seals = 0;                  // MEMFD only, those of its creation
  std::shared_ptr<LockedPages> locked;  // with lock_in_memory
  // POSIX and MAPPED_FILE only. Open since Make, so that Finish need not find
  // the object again. Its maker's alone, who closes it then, or before where it
  // makes many: others do not know of the object yet.
  mutable UniqueFd unfinished;
  // Of the same, those of its creation.
  uint64_t first_resident_bytes = 0;
  // MAPPED_FILE only, as it was made: whether its name is yet to be flushed
  // when the file is.
  bool needs_name_flush = false;
};

// What a program maps: a descriptor of its own, or a shmid.
struct SysvId {
  int id = -1;
};
using ObjectRef = std::variant<UniqueFd, SysvId>;

}  // namespace shmd

#endif  // SHMD_SHM_KERNEL_OBJECT_H_
