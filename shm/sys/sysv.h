#ifndef SHMD_SHM_SYS_SYSV_H_
#define SHMD_SHM_SYS_SYSV_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shmd::sys {

// System V shared memory. Thread-safe.

struct ShmgetRequest {
  uint32_t key = 0;  // 0: IPC_PRIVATE
  mode_t mode = 0600;
  uint64_t size_bytes = 0;
  // Huge pages when larger than the base page.
  uint64_t page_size_bytes = 0;
  // SHM_NORESERVE; without effect on huge pages, where it would mean SIGBUS.
  bool reserve_nothing = false;
};

// Makes a segment; its shmid. OBJECT_EXISTS when the key is
// taken. Shortage carries MEMORY_EXHAUSTED, HUGEPAGES_EXHAUSTED or
// SYSV_LIMIT_EXCEEDED, without numbers.
absl::StatusOr<int> ShmCreate(const ShmgetRequest& request);

// The shmid of a key. OBJECT_NOT_FOUND.
absl::StatusOr<int> ShmFind(uint32_t key);

struct SysvStat {
  uint32_t key = 0;
  uint64_t size_bytes = 0;
  uint64_t attach_count = 0;
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;  // permission bits only
  bool ever_attached = false;
  bool removed = false;  // waits for its last mapping to go
  bool locked = false;
};

// OBJECT_NOT_FOUND.
absl::StatusOr<SysvStat> ShmStat(int id);

// One of all segments of the IPC namespace.
struct SysvSegment {
  int id = -1;
  SysvStat stat;
  uid_t creator_uid = 0;
  pid_t creator_pid = 0;  // 0: not of our pid namespace
};
std::vector<SysvSegment> ShmList();

// Bytes of the segment's pages in memory, as /proc/sysvipc/shm has them;
// nullopt where it is silent. Of base pages only: some kernels count huge ones
// many times over.
std::optional<uint64_t> ShmResidentBytes(int id);

// The same for a segment of huge pages, by attaching it for a moment. Exact
// for the privileged; otherwise what /proc says, but no more than
// `size_bytes`.
uint64_t ShmHugeResidentBytes(int id, uint64_t size_bytes);

// The size of the segment's pages, which only a mapping tells; the base page
// when this process may not attach it.
uint64_t ShmPageSizeBytes(int id);

// OWNER_NOT_SETTABLE without the privilege.
absl::Status ShmSetOwnership(int id, uid_t owner, gid_t group, mode_t mode);

// OBJECT_NOT_FOUND.
absl::Status ShmRemove(int id);

// LOCK_LIMIT_EXCEEDED without numbers.
absl::Status ShmLock(int id);

// Attaches the whole segment. With an address, never replaces what is there:
// ADDRESS_IN_USE.
absl::StatusOr<void*> Shmat(int id, void* fixed_address, bool writable);

absl::Status Shmdt(void* address);

// A segment attached for as long as this lives. Move-only.
class ScopedShmat {
 public:
  static absl::StatusOr<ScopedShmat> Attach(int id, bool writable);

  ScopedShmat(ScopedShmat&& other) noexcept;
  ScopedShmat& operator=(ScopedShmat&&) = delete;
  ~ScopedShmat();

  void* data() const { return data_; }

 private:
  explicit ScopedShmat(void* data) : data_(data) {}

  void* data_;
};

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_SYSV_H_
