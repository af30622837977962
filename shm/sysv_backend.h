#ifndef SHMD_SHM_SYSV_BACKEND_H_
#define SHMD_SHM_SYSV_BACKEND_H_

#include "shm/backend.h"

namespace shmd {

// System V segments. The kernel checks the segment's own mode and owner; its
// size never changes, and it cannot be truncated.
class SysvBackend : public Backend {
 public:
  explicit SysvBackend(uint64_t memory_reserve_bytes)
      : memory_reserve_bytes_(memory_reserve_bytes) {}

  BackendKind kind() const override { return BackendKind::kSysv; }
  absl::StatusOr<KernelObject> Make(
      const SegmentOptions& options) const override;
  absl::Status Finish(const KernelObject& object,
                      const SegmentOptions& options) const override;
  absl::Status RemoveUnfinished(const AdoptOptions& made) const override;
  absl::StatusOr<KernelObject> Adopt(
      const AdoptOptions& options) const override;
  absl::StatusOr<KernelObject> Reopen(const ObjectName& name,
                                      uint64_t page_size_bytes) const override;
  absl::StatusOr<ObjectRef> Open(const KernelObject& object,
                                 Access access) const override;
  absl::Status Remove(const KernelObject& object) const override;
  // The kernel has no such thing: BACKEND_UNSUPPORTED.
  absl::Status Revoke(const KernelObject& object) const override;
  absl::Status Resize(const KernelObject& object,
                      const SegmentOptions& options) const override;
  absl::Status Seal(const KernelObject& object,
                    SealExtent extent) const override;
  absl::Status SetOwnership(const KernelObject& object, mode_t mode,
                            uid_t owner, gid_t group) const override;
  absl::Status Flush(const KernelObject& object, FlushMode mode,
                     uint64_t offset_bytes,
                     uint64_t length_bytes) const override;
  absl::StatusOr<ObjectStatus> Status(const KernelObject& object,
                                      bool with_nodes) const override;

 private:
  uint64_t memory_reserve_bytes_;
};

}  // namespace shmd

#endif  // SHMD_SHM_SYSV_BACKEND_H_
