#include "shm/sys/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "shm/sys/errno_table.h"

namespace shmd::sys {
namespace {

using absl::StatusCode;

constexpr ErrnoRow kFolderTable[] = {
    {ENOENT, StatusCode::kFailedPrecondition, reason::kFileRootMissing,
     "a root for mapped files is not there"},
    {ENOTDIR, StatusCode::kFailedPrecondition, reason::kFileRootMissing,
     "a root for mapped files is no folder"},
    {EACCES, StatusCode::kFailedPrecondition, reason::kFileRootMissing,
     "the daemon may not enter a root for mapped files"},
};

constexpr ErrnoRow kOpenTable[] = {
    {ENOENT, StatusCode::kNotFound, reason::kObjectNotFound,
     "there is no such file"},
    {EEXIST, StatusCode::kAlreadyExists, reason::kObjectExists,
     "there is such a file already"},
    {ELOOP, StatusCode::kInvalidArgument, reason::kFilePathInvalid,
     "the path has a symbolic link"},
    {EXDEV, StatusCode::kInvalidArgument, reason::kFilePathInvalid,
     "the path leads out of its root"},
    {ENOTDIR, StatusCode::kInvalidArgument, reason::kFilePathInvalid,
     "a part of the path is no folder"},
    {ENAMETOOLONG, StatusCode::kInvalidArgument, reason::kFilePathInvalid,
     "the path is too long"},
    {EINVAL, StatusCode::kInvalidArgument, reason::kFilePathInvalid,
     "the file system does not take this path"},
    {EISDIR, StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
     "it is a folder"},
    {ENXIO, StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
     "it is no regular file"},
    {EAGAIN, StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
     "another program holds a lease on it (fcntl(2), F_SETLEASE), or its path "
     "changes all the time"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the daemon may not open it so"},
    {EPERM, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the daemon may not open it so"},
    {EROFS, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the file system is read-only"},
    {ENOSPC, StatusCode::kResourceExhausted, reason::kFileSpaceExhausted,
     "the file system has no room for another file"},
    {EDQUOT, StatusCode::kResourceExhausted, reason::kFileSpaceExhausted,
     "the file system's quota has no room for another file"},
};

constexpr ErrnoRow kSizeTable[] = {
    {EFBIG, StatusCode::kResourceExhausted, reason::kFileSizeLimitExceeded,
     "the file would be larger than allowed"},
    // A memfd whose seals do not let its size change so.
    {EPERM, StatusCode::kFailedPrecondition, reason::kNotResizable,
     "the size cannot be changed so"},
    {EINVAL, StatusCode::kInvalidArgument, reason::kPageSizeMismatch,
     "the size is not allowed for pages of this size"},
    {ENOSPC, StatusCode::kResourceExhausted, reason::kFileSpaceExhausted,
     "the file system is full"},
    {EDQUOT, StatusCode::kResourceExhausted, reason::kFileSpaceExhausted,
     "the file system's quota is used up"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory for the pages"},
    {EOPNOTSUPP, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the file system cannot allocate ahead"},
};

constexpr ErrnoRow kOwnershipTable[] = {
    {EPERM, StatusCode::kFailedPrecondition, reason::kOwnerNotSettable,
     "the daemon lacks the privilege to set this owner or mode"},
};

// Invalid where openat2(2) failed.
UniqueFd OpenWithoutLinks(int folder_fd, const std::string& path, int flags,
                          mode_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  // Opening a pipe or a device must not block; O_PATH opens nothing.
  if ((flags & O_PATH) == 0) how.flags |= O_NONBLOCK;
  how.mode = mode;
  how.resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: something was renamed while the path was resolved; or, as this does
  // not block, the file's owner holds a lease on it (F_SETLEASE), which may
  // last for 45 s.
  constexpr int kMaxTries = 100;
  int tries = 0;
  for (;;) {
    UniqueFd fd(static_cast<int>(
        syscall(SYS_openat2, folder_fd, path.c_str(), &how, sizeof(how))));
    if (fd.valid()) return fd;
    const bool is_again = errno == EAGAIN && ++tries < kMaxTries;
    if (errno != EINTR && !is_again) return fd;
  }
}

constexpr off_t AsOffset(uint64_t bytes) { return static_cast<off_t>(bytes); }

}  // namespace

absl::StatusOr<UniqueFd> OpenFolder(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) return fd;
  return StatusOfErrno(errno, "open of a root", kFolderTable);
}

absl::StatusOr<UniqueFd> OpenBeneath(int folder_fd, const std::string& path,
                                     int flags, mode_t mode) {
  UniqueFd fd = OpenWithoutLinks(folder_fd, path, flags, mode, RESOLVE_BENEATH);
  if (fd.valid()) return fd;
  return StatusOfErrno(errno, "openat2", kOpenTable);
}

absl::StatusOr<UniqueFd> OpenBelow(const std::string& root,
                                   const std::string& path, int flags) {
  // Without these, links are all that could lead out of the folder.
  if (!absl::StartsWith(path, "/") && !absl::StrContains(path, "..")) {
    UniqueFd fd = OpenWithoutLinks(AT_FDCWD, absl::StrCat(root, "/", path),
                                   flags, /*mode=*/0, /*resolve=*/0);
    if (fd.valid()) return fd;
  }
  // Or whatever was in the way says so by its name.
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolder(root));
  return OpenBeneath(folder.get(), path, flags, /*mode=*/0);
}

absl::StatusOr<UniqueFd> Reopen(int fd, int flags) {
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  UniqueFd reopened(open(path.c_str(), flags | O_CLOEXEC));
  if (reopened.valid()) return reopened;
  return StatusOfErrno(errno, "open", kOpenTable);
}

absl::StatusOr<UniqueFd> OpenOwnDescriptors() {
  UniqueFd folder(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.valid()) return folder;
  return StatusOfErrno(errno, "open", kOpenTable);
}

absl::StatusOr<UniqueFd> ReopenIn(int own_descriptors, int fd, int flags) {
  char name[12];
  *std::to_chars(name, name + sizeof(name) - 1, fd).ptr = '\0';
  UniqueFd reopened(openat(own_descriptors, name, flags | O_CLOEXEC));
  if (reopened.valid()) return reopened;
  return StatusOfErrno(errno, "openat", kOpenTable);
}

absl::StatusOr<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (copy.valid()) return copy;
  return StatusOfErrno(errno, "fcntl(F_DUPFD_CLOEXEC)", {});
}

absl::StatusOr<int> AccessMode(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return StatusOfErrno(errno, "fcntl(F_GETFL)", {});
  if ((flags & O_PATH) != 0) {
    return StatusOfErrno(EACCES, "fcntl(F_GETFL)", kOpenTable);
  }
  return flags & O_ACCMODE;
}

namespace {

FileStat ToFileStat(const struct statx& found) {
  FileStat result = {};
  result.st_dev = makedev(found.stx_dev_major, found.stx_dev_minor);
  result.st_ino = found.stx_ino;
  result.st_mode = found.stx_mode;
  result.st_nlink = found.stx_nlink;
  result.st_uid = found.stx_uid;
  result.st_gid = found.stx_gid;
  result.st_size = static_cast<off_t>(found.stx_size);
  result.st_blksize = static_cast<blksize_t>(found.stx_blksize);
  result.st_blocks = static_cast<blkcnt_t>(found.stx_blocks);
  result.st_atim = {found.stx_atime.tv_sec, found.stx_atime.tv_nsec};
  result.st_mtim = {found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec};
  result.st_ctim = {found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec};
  if ((found.stx_mask & STATX_BTIME) != 0) {
    result.birth_ns =
        static_cast<uint64_t>(found.stx_btime.tv_sec) * uint64_t{1000000000} +
        found.stx_btime.tv_nsec;
  }
  return result;
}

}  // namespace

absl::StatusOr<FileStat> Fstat(int fd) {
  struct statx found = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &found) ==
      0) {
    return ToFileStat(found);
  }
  return StatusOfErrno(errno, "statx", {});
}

absl::StatusOr<FileStat> StatIn(int folder_fd, const std::string& name) {
  struct statx found = {};
  if (statx(folder_fd, name.c_str(), AT_SYMLINK_NOFOLLOW,
            STATX_BASIC_STATS | STATX_BTIME, &found) == 0) {
    return ToFileStat(found);
  }
  return StatusOfErrno(errno, "statx", kOpenTable);
}

absl::Status UnlinkIn(int folder_fd, const std::string& name) {
  if (unlinkat(folder_fd, name.c_str(), 0) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "unlinkat", kOpenTable);
}

absl::Status Ftruncate(int fd, uint64_t size_bytes) {
  while (ftruncate(fd, AsOffset(size_bytes)) != 0) {
    if (errno == EINTR) continue;
    return StatusOfErrno(errno, "ftruncate", kSizeTable);
  }
  return absl::OkStatus();
}

absl::Status Preallocate(int fd, uint64_t offset_bytes, uint64_t length_bytes) {
  while (fallocate(fd, FALLOC_FL_KEEP_SIZE, AsOffset(offset_bytes),
                   AsOffset(length_bytes)) != 0) {
    if (errno == EINTR) continue;
    return StatusOfErrno(errno, "fallocate", kSizeTable);
  }
  return absl::OkStatus();
}

absl::Status PunchHole(int fd, uint64_t offset_bytes, uint64_t length_bytes) {
  while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                   AsOffset(offset_bytes), AsOffset(length_bytes)) != 0) {
    if (errno == EINTR) continue;
    return StatusOfErrno(errno, "fallocate", kSizeTable);
  }
  return absl::OkStatus();
}

absl::Status WriteZeroes(int fd, uint64_t offset_bytes, uint64_t length_bytes) {
  const std::vector<char> zeroes(
      std::min<uint64_t>(length_bytes, uint64_t{1} << 20));
  uint64_t written_bytes = 0;
  while (written_bytes < length_bytes) {
    const size_t want =
        std::min<uint64_t>(zeroes.size(), length_bytes - written_bytes);
    const ssize_t wrote =
        pwrite(fd, zeroes.data(), want, AsOffset(offset_bytes + written_bytes));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return StatusOfErrno(errno, "pwrite", kSizeTable);
    written_bytes += static_cast<uint64_t>(wrote);
  }
  return absl::OkStatus();
}

absl::Status Fchown(int fd, uid_t owner, gid_t group) {
  if (fchown(fd, owner, group) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "fchown", kOwnershipTable);
}

absl::Status Fchmod(int fd, mode_t mode) {
  if (fchmod(fd, mode) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "fchmod", kOwnershipTable);
}

absl::Status Fsync(int fd) {
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("file.sync"));
  while (fsync(fd) != 0) {
    if (errno == EINTR) continue;
    return StatusOfErrno(errno, "fsync", kSizeTable);
  }
  return absl::OkStatus();
}

absl::Status StartWriteback(int fd, uint64_t offset_bytes,
                            uint64_t length_bytes) {
  if (sync_file_range(fd, AsOffset(offset_bytes), AsOffset(length_bytes),
                      SYNC_FILE_RANGE_WRITE) == 0) {
    return absl::OkStatus();
  }
  return StatusOfErrno(errno, "sync_file_range", kSizeTable);
}

absl::StatusOr<FileSystem> FileSystemOf(int fd) {
  struct statfs found = {};
  while (fstatfs(fd, &found) != 0) {
    if (errno == EINTR) continue;
    return StatusOfErrno(errno, "fstatfs", {});
  }
  FileSystem file_system;
  file_system.block_size_bytes = static_cast<uint64_t>(found.f_bsize);
  if (found.f_type == HUGETLBFS_MAGIC) {
    file_system.kind = FileSystemKind::kHugetlbfs;
  } else if (found.f_type == TMPFS_MAGIC) {
    file_system.kind = FileSystemKind::kTmpfs;
  }
  if (found.f_type == EXT4_SUPER_MAGIC || found.f_type == BTRFS_SUPER_MAGIC) {
    std::memcpy(&file_system.id, &found.f_fsid, sizeof(file_system.id));
  } else if (found.f_type == XFS_SUPER_MAGIC) {
    file_system.id = 1;
  }
  file_system.syncs_names_with_files = file_system.id != 0;
  return file_system;
}

}  // namespace shmd::sys
