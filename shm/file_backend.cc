#include "shm/file_backend.h"

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
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

namespace shmd {
namespace {

// A file's folder, open, and what the folder's file system is.
struct Folder {
  UniqueFd fd;
  sys::FileSystem file_system;

  uint64_t page_size_bytes() const {
    return file_system.kind == sys::FileSystemKind::kHugetlbfs
               ? file_system.block_size_bytes
               : BasePageSizeBytes();
  }
};

// An error of the path that a request gave.
absl::Status InPath(absl::Status status) {
  return InFieldIf(reason::kFilePathInvalid, "segment.file_path",
                   std::move(status));
}

absl::StatusOr<Folder> OpenFolderOf(const FileLocation& location) {
  Folder folder;
  ASSIGN_OR_RETURN(folder.fd, sys::OpenBelow(location.root, location.folder,
                                             O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(folder.file_system, sys::FileSystemOf(folder.fd.get()));
  return folder;
}

FileLocation LocationOf(const ObjectName& name) {
  FileLocation location;
  location.root = name.file_root;
  const size_t slash = name.file_path.rfind('/');
  location.folder =
      slash == std::string::npos ? "." : name.file_path.substr(0, slash);
  location.name = slash == std::string::npos ? name.file_path
                                             : name.file_path.substr(slash + 1);
  return location;
}

PageStore FileStore(const Folder& folder, uint64_t memory_reserve_bytes) {
  PageStore store;
  store.page_size_bytes = folder.page_size_bytes();
  store.memory_reserve_bytes = memory_reserve_bytes;
  // Whatever is mounted where, this is the file system of the file.
  store.path = absl::StrCat("/proc/self/fd/", folder.fd.get());
  switch (folder.file_system.kind) {
    case sys::FileSystemKind::kHugetlbfs:
      store.kind = PageStore::Kind::kHugePages;
      break;
    case sys::FileSystemKind::kTmpfs:
      store.kind = PageStore::Kind::kMemory;
      break;
    case sys::FileSystemKind::kStorage:
      store.kind = PageStore::Kind::kFileSystem;
      break;
  }
  return store;
}

KernelObject FileObject(const FileLocation& location,
                        const sys::FileStat& found, const Folder& folder) {
  KernelObject object;
  object.name.backend = BackendKind::kMappedFile;
  object.name.file_root = location.root;
  object.name.file_path = location.path();
  SetIdentity(found, object.name);
  object.name.file_system = folder.file_system.id;
  object.page_size_bytes = folder.page_size_bytes();
  return object;
}

// What the path leads to now, if that is still the object.
absl::StatusOr<UniqueFd> OpenSameFile(const ObjectName& name, int flags) {
  absl::StatusOr<UniqueFd> fd =
      sys::OpenBelow(name.file_root, name.file_path, flags);
  if (!fd.ok()) {
    // A link or a file has taken a folder's place.
    const std::string reason = GetErrorReason(fd.status());
    if (reason == reason::kFilePathInvalid) return ObjectReplaced();
    return GoneMeansReplaced(fd.status());
  }
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd->get()));
  if (!IsSameObject(name, found)) return ObjectReplaced();
  return fd;
}

// Whether the folder can give what `options` ask for.
absl::Status CheckOptions(const SegmentOptions& options, const Folder& folder,
                          const PageStore& store) {
  if (options.page_size_bytes != folder.page_size_bytes()) {
    return InvalidField("segment.page_size_bytes", reason::kPageSizeMismatch,
                        "the file system of the path has other pages")
        .With("page_size_bytes", folder.page_size_bytes());
  }
  if (options.numa.mode != NumaMode::kNone &&
      store.kind == PageStore::Kind::kFileSystem) {
    return BackendUnsupported("pages of storage cannot be put on memory nodes")
        .InField("segment.numa_policy");
  }
  RETURN_IF_ERROR(CheckFileSize(options.size_bytes));
  RETURN_IF_ERROR(
      store.Check(options.size_bytes, options.allocation, options.populate));
  if (options.lock_in_memory) RETURN_IF_ERROR(CheckLock(options.size_bytes));
  return absl::OkStatus();
}

// Makes the open file what `options` ask for, but for its ownership.
absl::StatusOr<KernelObject> FurnishFile(int fd, const SegmentOptions& options,
                                         const PageStore& store,
                                         const FileLocation& location,
                                         const Folder& folder) {
  RETURN_IF_ERROR(GrowDescriptor(fd, GrowthOf(options), store));
  ASSIGN_OR_RETURN(const sys::FileStat made, sys::Fstat(fd));
  KernelObject object = FileObject(location, made, folder);
  object.needs_name_flush =
      !folder.file_system.syncs_names_with_files || made.birth_ns == 0;
  object.first_resident_bytes = static_cast<uint64_t>(made.st_blocks) * 512;
  if (options.lock_in_memory) {
    object.locked = std::make_shared<LockedPages>();
    RETURN_IF_ERROR(LockDescriptor(fd, options.size_bytes,
                                   options.page_size_bytes, *object.locked));
  }
  return object;
}

// Which flushes all else of the file too.
absl::Status FlushOwnership(int fd, mode_t mode, uid_t owner, gid_t group) {
  RETURN_IF_ERROR(SetDescriptorOwnership(fd, mode, owner, group));
  return sys::Fsync(fd);
}

}  // namespace

absl::Status FileBackend::CheckFolders(
    const std::string& file_path,
    const std::function<absl::Status(const FolderPermissions&)>& check) const {
  ASSIGN_OR_RETURN(const FileLocation location, LocateFile(roots_, file_path));
  if (location.folder == ".") return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd root, sys::OpenFolder(location.root));
  for (size_t end = 0; end != std::string::npos;) {
    end = location.folder.find('/', end + 1);
    const absl::StatusOr<UniqueFd> folder = sys::OpenBeneath(
        root.get(), location.folder.substr(0, end), O_PATH | O_DIRECTORY, 0);
    // What comes next says what is wrong with it.
    if (!folder.ok()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(folder->get()));
    RETURN_IF_ERROR(check({found.st_uid, found.st_gid, found.st_mode & 07777u,
                           end == std::string::npos}));
  }
  return absl::OkStatus();
}

absl::StatusOr<KernelObject> FileBackend::Make(
    const SegmentOptions& options) const {
  ASSIGN_OR_RETURN(const FileLocation location,
                   LocateFile(roots_, options.file_path));
  const absl::StatusOr<Folder> folder = OpenFolderOf(location);
  if (GetErrorReason(folder.status()) == reason::kObjectNotFound) {
    return InvalidField("segment.file_path", reason::kFilePathInvalid,
                        "its folder does not exist");
  }
  RETURN_IF_ERROR(InPath(folder.status()));
  const PageStore store = FileStore(*folder, memory_reserve_bytes_);
  RETURN_IF_ERROR(CheckOptions(options, *folder, store));

  const int folder_fd = folder->fd.get();
  absl::StatusOr<UniqueFd> fd = sys::OpenBeneath(
      folder_fd, location.name, O_RDWR | O_CREAT | O_EXCL, kUnfinishedMode);
  if (!fd.ok()) return InPath(store.Explain(fd.status(), options.size_bytes));
  auto undo = absl::MakeCleanup([folder_fd, &location] {
    sys::UnlinkIn(folder_fd, location.name).IgnoreError();
  });
  ASSIGN_OR_RETURN(KernelObject object,
                   FurnishFile(fd->get(), options, store, location, *folder));
  std::move(undo).Cancel();
  object.unfinished = *std::move(fd);
  return object;
}

absl::Status FileBackend::Finish(const KernelObject& object,
                                 const SegmentOptions& options) const {
  if (!object.unfinished.valid()) {
    return SetOwnership(object, options.mode, options.owner, options.group);
  }
  return FlushOwnership(object.unfinished.get(), options.mode, options.owner,
                        options.group);
}

absl::Status FileBackend::FlushName(const KernelObject& object) const {
  ASSIGN_OR_RETURN(const Folder folder, OpenFolderOf(LocationOf(object.name)));
  return sys::Fsync(folder.fd.get());
}

absl::Status FileBackend::RemoveUnfinished(const AdoptOptions& made) const {
  ASSIGN_OR_RETURN(const FileLocation location,
                   LocateFile(roots_, made.file_path));
  const absl::StatusOr<Folder> folder = OpenFolderOf(location);
  if (GetErrorReason(folder.status()) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(folder.status());
  const absl::StatusOr<sys::FileStat> found =
      sys::StatIn(folder->fd.get(), location.name);
  if (GetErrorReason(found.status()) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(found.status());
  if (!IsUnfinished(*found)) return absl::OkStatus();
  return sys::UnlinkIn(folder->fd.get(), location.name);
}

absl::StatusOr<KernelObject> FileBackend::Adopt(
    const AdoptOptions& options) const {
  ASSIGN_OR_RETURN(const FileLocation location,
                   LocateFile(roots_, options.file_path));
  const absl::StatusOr<Folder> folder = OpenFolderOf(location);
  RETURN_IF_ERROR(InPath(folder.status()));
  // O_PATH opens nothing: no side effect, whatever the path leads to.
  const absl::StatusOr<UniqueFd> fd =
      sys::OpenBeneath(folder->fd.get(), location.name, O_PATH, 0);
  RETURN_IF_ERROR(InPath(fd.status()));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd->get()));
  // O_PATH has opened the link itself.
  if (S_ISLNK(found.st_mode)) {
    return InvalidField("segment.file_path", reason::kFilePathInvalid,
                        "it is a symbolic link");
  }
  RETURN_IF_ERROR(CheckAdoptable(found));
  return FileObject(location, found, *folder);
}

absl::StatusOr<KernelObject> FileBackend::Reopen(const ObjectName& name,
                                                 uint64_t) const {
  if (std::find(roots_.begin(), roots_.end(), name.file_root) == roots_.end()) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kFileRootMissing,
                 "the file's root is not a root of the daemon any more");
  }
  const FileLocation location = LocationOf(name);
  ASSIGN_OR_RETURN(const Folder folder, OpenFolderOf(location));
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   sys::OpenBeneath(folder.fd.get(), location.name, O_PATH, 0));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd.get()));
  if (!IsSameRecordedFile(name, found, folder.file_system.id)) {
    return ObjectReplaced();
  }
  return FileObject(location, found, folder);
}

absl::StatusOr<ObjectRef> FileBackend::Open(const KernelObject& object,
                                            Access access) const {
  ASSIGN_OR_RETURN(
      UniqueFd fd,
      OpenSameFile(object.name, access == Access::kRead ? O_RDONLY : O_RDWR));
  return ObjectRef(std::move(fd));
}

absl::Status FileBackend::Remove(const KernelObject& object) const {
  const FileLocation location = LocationOf(object.name);
  const absl::StatusOr<Folder> folder = OpenFolderOf(location);
  if (GetErrorReason(folder.status()) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(folder.status());
  const int folder_fd = folder->fd.get();
  const absl::StatusOr<sys::FileStat> found =
      sys::StatIn(folder_fd, location.name);
  if (GetErrorReason(found.status()) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(found.status());
  if (!IsSameObject(object.name, *found)) return absl::OkStatus();
  const absl::Status removed = sys::UnlinkIn(folder_fd, location.name);
  if (GetErrorReason(removed) != reason::kObjectNotFound) {
    RETURN_IF_ERROR(removed);
  }
  return sys::Fsync(folder_fd);
}

absl::Status FileBackend::Revoke(const KernelObject& object) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSameFile(object.name, O_RDWR));
  return sys::Ftruncate(fd.get(), 0);
}

absl::Status FileBackend::Resize(const KernelObject& object,
                                 const SegmentOptions& options) const {
  ASSIGN_OR_RETURN(const Folder folder, OpenFolderOf(LocationOf(object.name)));
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSameFile(object.name, O_RDWR));
  ResizeRequest request;
  request.size_bytes = options.size_bytes;
  request.allocation = options.allocation;
  request.numa = options.numa;
  request.locked = object.locked.get();
  RETURN_IF_ERROR(ResizeDescriptor(fd.get(), request,
                                   FileStore(folder, memory_reserve_bytes_)));
  return sys::Fsync(fd.get());
}

absl::Status FileBackend::Seal(const KernelObject&, SealExtent) const {
  return BackendUnsupported("only memfd segments can be sealed");
}

absl::Status FileBackend::SetOwnership(const KernelObject& object, mode_t mode,
                                       uid_t owner, gid_t group) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenSameFile(object.name, O_RDONLY));
  return FlushOwnership(fd.get(), mode, owner, group);
}

absl::Status FileBackend::Flush(const KernelObject& object, FlushMode mode,
                                uint64_t offset_bytes,
                                uint64_t length_bytes) const {
  if (mode == FlushMode::kAsynchronous) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenSameFile(object.name, O_RDONLY));
    return sys::StartWriteback(fd.get(), offset_bytes, length_bytes);
  }
  // msync(2) passes over mappings of what is open for reading alone: do_mmap
  // (mm/mmap.c) takes VM_SHARED from them.
  absl::StatusOr<UniqueFd> writable = OpenSameFile(object.name, O_RDWR);
  if (!writable.ok()) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenSameFile(object.name, O_RDONLY));
    return sys::Fsync(fd.get());
  }
  const UniqueFd fd = *std::move(writable);
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd.get()));
  const uint64_t size_bytes = static_cast<uint64_t>(found.st_size);
  const uint64_t page = object.page_size_bytes;
  sys::MmapRequest request;
  request.fd = fd.get();
  request.offset_bytes = offset_bytes / page * page;
  const uint64_t end_bytes =
      length_bytes == 0 ? size_bytes : offset_bytes + length_bytes;
  request.length_bytes = RoundUpToPages(end_bytes - request.offset_bytes, page);
  ASSIGN_OR_RETURN(const sys::ScopedMmap mapped, sys::ScopedMmap::Map(request));
  return sys::Msync(mapped.data(), mapped.size_bytes(),
                    mode == FlushMode::kInvalidate);
}

std::optional<ObjectStatus> FileBackend::FreshStatus(
    const KernelObject& object, const SegmentOptions& options) const {
  return StatusWhenMade(object, options);
}

absl::StatusOr<ObjectStatus> FileBackend::Status(const KernelObject& object,
                                                 bool with_nodes) const {
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   OpenSameFile(object.name, with_nodes ? O_RDONLY : O_PATH));
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
