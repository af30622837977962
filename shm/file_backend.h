#ifndef SHMD_SHM_FILE_BACKEND_H_
#define SHMD_SHM_FILE_BACKEND_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "shm/backend.h"

namespace shmd {

// Files below the daemon's roots. What Create acknowledged survives a loss of
// power; what is written since survives it from the next Flush on. No path
// ever leaves its root or follows a link.
class FileBackend : public Backend {
 public:
  FileBackend(std::vector<std::string> roots, uint64_t memory_reserve_bytes)
      : roots_(std::move(roots)), memory_reserve_bytes_(memory_reserve_bytes) {}

  BackendKind kind() const override { return BackendKind::kMappedFile; }
  absl::Status CheckFolders(
      const std::string& file_path,
      const std::function<absl::Status(const FolderPermissions&)>& check)
      const override;
  absl::StatusOr<KernelObject> Make(
      const SegmentOptions& options) const override;
  absl::Status Finish(const KernelObject& object,
                      const SegmentOptions& options) const override;
  absl::Status FlushName(const KernelObject& object) const override;
  absl::Status RemoveUnfinished(const AdoptOptions& made) const override;
  absl::StatusOr<KernelObject> Adopt(
      const AdoptOptions& options) const override;
  // FILE_ROOT_MISSING also when the file's root is no longer one.
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
  std::vector<std::string> roots_;
  uint64_t memory_reserve_bytes_;
};

}  // namespace shmd

#endif  // SHMD_SHM_FILE_BACKEND_H_
