#ifndef SHMD_SHM_SYS_FILE_H_
#define SHMD_SHM_SYS_FILE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// Files and folders: one system call each, errors by table, EINTR retried.
// No message names a path. Thread-safe.

// A folder of the daemon's own configuration (O_PATH), for use as the start of
// paths.
// FILE_ROOT_MISSING when it is not there.
absl::StatusOr<UniqueFd> OpenFolder(const std::string& path);

// openat2(2) that never leaves `folder_fd` and follows no link of any kind:
// FILE_PATH_INVALID for a path that tries. OBJECT_NOT_FOUND, OBJECT_EXISTS.
// Always O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK.
absl::StatusOr<UniqueFd> OpenBeneath(int folder_fd, const std::string& path,
                                     int flags, mode_t mode);

// The same below the folder `root`, whose own path may have links: by one call
// where it has none. Makes nothing. FILE_ROOT_MISSING.
absl::StatusOr<UniqueFd> OpenBelow(const std::string& root,
                                   const std::string& path, int flags);

// A new open file description of what `fd` is open on.
absl::StatusOr<UniqueFd> Reopen(int fd, int flags);

// The folder of this process's own descriptors (/proc/self/fd), and the same as
// Reopen by it, in two thirds of the time. A child of fork(2) would find its
// parent's there.
absl::StatusOr<UniqueFd> OpenOwnDescriptors();
absl::StatusOr<UniqueFd> ReopenIn(int own_descriptors, int fd, int flags);

// A new descriptor of the same open file description.
absl::StatusOr<UniqueFd> Duplicate(int fd);

// O_RDONLY, O_WRONLY or O_RDWR; PERMISSION_DENIED for O_PATH.
absl::StatusOr<int> AccessMode(int fd);

// What stat(2) tells, and when the file was born. Inode numbers are used anew,
// on ext4 at once; together with the birth they are not.
struct FileStat : stat {
  uint64_t birth_ns = 0;  // since 1970; 0 where the file system keeps none
};

absl::StatusOr<FileStat> Fstat(int fd);

// Of a name in a folder, without following a link. OBJECT_NOT_FOUND.
absl::StatusOr<FileStat> StatIn(int folder_fd, const std::string& name);

// Removes a name from a folder. OBJECT_NOT_FOUND.
absl::Status UnlinkIn(int folder_fd, const std::string& name);

absl::Status Ftruncate(int fd, uint64_t size_bytes);

// Allocates a range without changing the file's size. UNIMPLEMENTED where the
// file system cannot. Shortage carries FILE_SPACE_EXHAUSTED or
// MEMORY_EXHAUSTED, without numbers.
absl::Status Preallocate(int fd, uint64_t offset_bytes, uint64_t length_bytes);

// Gives a range's pages back; it reads as zeroes then.
absl::Status PunchHole(int fd, uint64_t offset_bytes, uint64_t length_bytes);

// Writes zeroes over a range.
absl::Status WriteZeroes(int fd, uint64_t offset_bytes, uint64_t length_bytes);

// OWNER_NOT_SETTABLE without the privilege.
absl::Status Fchown(int fd, uid_t owner, gid_t group);
absl::Status Fchmod(int fd, mode_t mode);

absl::Status Fsync(int fd);

// Starts writing a range back and does not wait.
absl::Status StartWriteback(int fd, uint64_t offset_bytes,
                            uint64_t length_bytes);

// Where a file's pages live.
enum class FileSystemKind { kStorage, kTmpfs, kHugetlbfs };

struct FileSystem {
  FileSystemKind kind = FileSystemKind::kStorage;
  uint64_t block_size_bytes = 0;  // hugetlbfs: the page size
  // Whether the fsync of a new file makes its name durable too, if it has a
  // time of birth: ext2 has the magic number of ext4, and neither. fsync(2)
  // does not promise that, but these do: ext4 writes both in one transaction,
  // and without a journal writes the folders of a new file as well
  // (fs/ext4/fsync.c, ext4_sync_parent); XFS and Btrfs have the name in the
  // same log.
  bool syncs_names_with_files = false;
  // Tells it from others after a start of the host, when st_dev may be another:
  // f_fsid of ext4 (its UUID) and Btrfs (of the subvolume); 1 for XFS, whose
  // f_fsid is the device. 0 for others: whoever serves a FUSE may say anything.
  uint64_t id = 0;
};

absl::StatusOr<FileSystem> FileSystemOf(int fd);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_FILE_H_
