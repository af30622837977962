#include "shm/posix_backend.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/descriptor_object.h"
#include "shm/limits.h"
#include "shm/node_pages.h"
#include "shm/object_names.h"
#include "shm/page_store.h"
#include "shm/sys/file.h"
#include "shm/sys/memory.h"
#include "shm/sys/posix.h"

namespace shmd {
namespace {

PageStore PosixStore(uint64_t memory_reserve_bytes) {
  PageStore store;
  store.kind = PageStore::Kind::kPosixTmpfs;
  store.page_size_bytes = BasePageSizeBytes();
  store.memory_reserve_bytes = memory_reserve_bytes;
  return store;
}

// What the name leads to now, if that is still the object.
absl::StatusOr<UniqueFd> OpenSamePosix(const ObjectName& name, int flags) {
  absl::StatusOr<UniqueFd> fd = sys::ShmOpen(name.posix_name, flags, 0);
  if (!fd.ok()) return GoneMeansReplaced(fd.status());
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd->get()));
  if (!IsSameObject(name, found)) return ObjectReplaced();
  return fd;
}

// Makes the open object what `options` ask for, but for its ownership.
absl::Status FurnishPosix(int fd, const SegmentOptions& options,
                          const PageStore& store, KernelObject& object) {
  RETURN_IF_ERROR(GrowDescriptor(fd, GrowthOf(options), store));
  if (options.lock_in_memory) {
    object.locked = std::make_shared<LockedPages>();
    RETURN_IF_ERROR(LockDescriptor(fd, options.size_bytes,
                                   options.page_size_bytes, *object.locked));
  }
  ASSIGN_OR_RETURN(const sys::FileStat made, sys::Fstat(fd));
  SetIdentity(made, object.name);
  object.first_resident_bytes = static_cast<uint64_t>(made.st_blocks) * 512;
  return absl::OkStatus();
}

absl::StatusOr<KernelObject> PosixObject(const std::string& name,
                                         const sys::FileStat& found) {
  KernelObject object;
  object.name.backend = BackendKind::kPosix;
  object.name.posix_name = name;
  SetIdentity(found, object.name);
  object.page_size_bytes = BasePageSizeBytes();
  return object;
}

}  // namespace

absl::StatusOr<KernelObject> PosixBackend::Make(
    const SegmentOptions& options) const {
  if (options.page_size_bytes > BasePageSizeBytes()) {
    return BackendUnsupported(
               "POSIX shared memory has no pages from the huge pool")
        .InField("segment.page_size_bytes");
  }
  KernelObject object;
  object.name.backend = BackendKind::kPosix;
  object.name.posix_name =
      options.posix_name.empty() ? RandomPosixName() : options.posix_name;
  object.page_size_bytes = options.page_size_bytes;
  RETURN_IF_ERROR(CheckPosixName(object.name.posix_name));
  const PageStore store = PosixStore(memory_reserve_bytes_);
  RETURN_IF_ERROR(CheckFileSize(options.size_bytes));
  RETURN_IF_ERROR(
      store.Check(options.size_bytes, options.allocation, options.populate));
  if (options.lock_in_memory) RETURN_IF_ERROR(CheckLock(options.size_bytes));

  ASSIGN_OR_RETURN(UniqueFd fd,
                   sys::ShmOpen(object.name.posix_name,
                                O_RDWR | O_CREAT | O_EXCL, kUnfinishedMode));
  auto undo = absl::MakeCleanup(
      [&object] { sys::ShmUnlink(object.name.posix_name).IgnoreError(); });
  RETURN_IF_ERROR(FurnishPosix(fd.get(), options, store, object));
  std::move(undo).Cancel();
  object.unfinished = std::move(fd);
  return object;
}

absl::Status PosixBackend::Finish(const KernelObject& object,
                                  const SegmentOptions& options) const {
  if (object.unfinished.valid()) {
    return SetDescriptorOwnership(object.unfinished.get(), options.mode,
                                  options.owner, options.group);
  }
  return SetOwnership(object, options.mode, options.owner, options.group);
}

absl::Status PosixBackend::RemoveUnfinished(const AdoptOptions& made) const {
  const absl::StatusOr<UniqueFd> fd = sys::ShmOpen(made.posix_name, O_PATH, 0);
  if (GetErrorReason(fd.status()) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(fd.status());
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd->get()));
  if (!IsUnfinished(found)) return absl::OkStatus();
  return sys::ShmUnlink(made.posix_name);
}

absl::StatusOr<KernelObject> PosixBackend::Adopt(
    const AdoptOptions& options) const {
  RETURN_IF_ERROR(CheckPosixName(options.posix_name));
  // O_PATH opens nothing: no side effect, whatever the name leads to.
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   sys::ShmOpen(options.posix_name, O_PATH, 0));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd.get()));
  RETURN_IF_ERROR(CheckAdoptable(found));
  return PosixObject(options.posix_name, found);
}

absl::StatusOr<KernelObject> PosixBackend::Reopen(const ObjectName& name,
                                                  uint64_t) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, sys::ShmOpen(name.posix_name, O_PATH, 0));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd.get()));
  if (!IsSameObject(name, found)) return ObjectReplaced();
  return PosixObject(name.posix_name, found);
}

absl::StatusOr<ObjectRef> PosixBackend::Open(const KernelObject& object,
                                             Access access) const {
  ASSIGN_OR_RETURN(
      UniqueFd fd,
      OpenSamePosix(object.name, access == Access::kRead ? O_RDONLY : O_RDWR));
  return ObjectRef(std::move(fd));
}

absl::Status PosixBackend::Remove(const KernelObject& object) const {
  const absl::StatusOr<UniqueFd> fd = OpenSamePosix(object.name, O_PATH);
  if (GetErrorReason(fd.status()) == reason::kObjectReplaced) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(fd.status());
  const absl::Status removed = sys::ShmUnlink(object.name.posix_name);
  if (GetErrorReason(removed) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  return removed;
}

absl::Status PosixBackend::Revoke(const KernelObject& object) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSamePosix(object.name, O_RDWR));
  return sys::Ftruncate(fd.get(), 0);
}

absl::Status PosixBackend::Resize(const KernelObject& object,
                                  const SegmentOptions& options) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSamePosix(object.name, O_RDWR));
  ResizeRequest request;
  request.size_bytes = options.size_bytes;
  request.allocation = options.allocation;
  request.numa = options.numa;
  request.locked = object.locked.get();
  return ResizeDescriptor(fd.get(), request, PosixStore(memory_reserve_bytes_));
}

absl::Status PosixBackend::Seal(const KernelObject&, SealExtent) const {
  return BackendUnsupported("only memfd segments can be sealed");
}

absl::Status PosixBackend::SetOwnership(const KernelObject& object, mode_t mode,
                                        uid_t owner, gid_t group) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSamePosix(object.name, O_RDONLY));
  return SetDescriptorOwnership(fd.get(), mode, owner, group);
}

absl::Status PosixBackend::Flush(const KernelObject& object, FlushMode,
                                 uint64_t, uint64_t) const {
  // Lives in memory: there is nothing to write, if it is there.
  return OpenSamePosix(object.name, O_PATH).status();
}

std::optional<ObjectStatus> PosixBackend::FreshStatus(
    const KernelObject& object, const SegmentOptions& options) const {
  return StatusWhenMade(object, options);
}

absl::StatusOr<ObjectStatus> PosixBackend::Status(const KernelObject& object,
                                                  bool with_nodes) const {
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   OpenSamePosix(object.name, with_nodes ? O_RDONLY : O_PATH));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd.get()));
  ObjectStatus status = StatusOfStat(found, object.page_size_bytes);
  if (object.locked != nullptr) {
    status.locked_bytes = object.locked->size_bytes();
  }
  if (with_nodes) {
    ASSIGN_OR_RETURN(status.node_pages, CountNodePages(fd.get(), status));
  }
  return status;
}

}  // namespace shmd
