#ifndef SHMD_SHM_MEMFD_BACKEND_H_
#define SHMD_SHM_MEMFD_BACKEND_H_

#include <atomic>
#include <mutex>

#include "base/unique_fd.h"
#include "shm/backend.h"

namespace shmd {

// Memory without a name: alive as long as somebody holds a descriptor or a
// mapping. The inode belongs to the daemon and has mode 0600, so that other
// uids get exactly the access that they were handed.
class MemfdBackend : public Backend {
 public:
  // For the process that makes it, and none of its children. `identify`:
  // whether to find out device and inode of what is made.
  MemfdBackend(uint64_t memory_reserve_bytes, bool identify);

  BackendKind kind() const override { return BackendKind::kMemfd; }
  absl::StatusOr<KernelObject> Make(
      const SegmentOptions& options) const override;
  bool IsMadeLate(const SegmentOptions& options) const override;
  absl::Status Finish(const KernelObject& object,
                      const SegmentOptions& options) const override;
  absl::Status RemoveUnfinished(const AdoptOptions& made) const override;
  // There is nothing to find: BACKEND_UNSUPPORTED.
  absl::StatusOr<KernelObject> Adopt(
      const AdoptOptions& options) const override;
  // A memfd ends with its last holder: OBJECT_NOT_FOUND.
  absl::StatusOr<KernelObject> Reopen(const ObjectName& name,
                                      uint64_t page_size_bytes) const override;
  absl::StatusOr<ObjectRef> Open(const KernelObject& object,
                                 Access access) const override;
  absl::Status Remove(const KernelObject& object) const override;
  absl::Status Revoke(const KernelObject& object) const override;
  absl::Status Resize(const KernelObject& object,
                      const SegmentOptions& options) const override;
  absl::Status Seal(const KernelObject& object,
                    SealExtent extent) const override;
  // The registry's word: the inode stays the daemon's.
  absl::Status SetOwnership(const KernelObject& object, mode_t mode,
                            uid_t owner, gid_t group) const override;
  absl::Status Flush(const KernelObject& object, FlushMode mode,
                     uint64_t offset_bytes,
                     uint64_t length_bytes) const override;
  std::optional<ObjectStatus> FreshStatus(
      const KernelObject& object, const SegmentOptions& options) const override;
  absl::StatusOr<ObjectStatus> Status(const KernelObject& object,
                                      bool with_nodes) const override;

 private:
  // What RLIMIT_FSIZE let through a millisecond ago at most: asking for each
  // member of a batch takes as long as the rest of it. Thread-safe.
  class RecentFileSize {
   public:
    bool Allows(uint64_t bytes) const;
    void Note(uint64_t bytes);

   private:
    std::atomic<int64_t> at_ns_{INT64_MIN};
    std::atomic<uint64_t> bytes_{0};
  };

  absl::StatusOr<KernelObject> MakeLate(const SegmentOptions& options) const;
  // The object's memfd, which is made now if it was late.
  absl::StatusOr<int> Descriptor(const KernelObject& object) const;

  uint64_t memory_reserve_bytes_;
  const bool identify_;
  bool can_be_late_ = false;
  UniqueFd own_descriptors_;  // invalid where /proc has none
  int kernel_seals_ = 0;      // which each memfd has from the kernel
  mutable RecentFileSize file_sizes_;
  mutable std::mutex making_;
};

}  // namespace shmd

#endif  // SHMD_SHM_MEMFD_BACKEND_H_
