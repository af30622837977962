#ifndef SHMD_SERVER_CENSUS_FOUND_OBJECT_H_
#define SHMD_SERVER_CENSUS_FOUND_OBJECT_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/census/object_id.h"
#include "shm/kernel_object.h"
#include "shm/sys/file.h"

namespace shmd {

// One object of shared memory that has a name in the kernel. A plain value.
struct FoundObject {
  std::string id;  // `posix-INODE`, `sysv-SHMID` or `hugetlbfs-DEV-INODE`
  ObjectId object;
  ObjectName name;       // as the registry would have it
  std::string root;      // files: the folder of the mount
  std::string path;      // files: relative to root
  std::string location;  // for people: POSIX name, key, or the whole path
  uint64_t size_bytes = 0;
  uint64_t resident_bytes = 0;
  uint64_t page_size_bytes = 0;
  uid_t owner = 0;
  mode_t mode = 0;
  absl::Time last_use = absl::UnixEpoch();
  bool ever_attached = false;  // SysV
  uint64_t attach_count = 0;   // SysV, by the kernel's count
  pid_t creator = 0;           // SysV; 0 when this pid namespace has it not
  std::string etag;            // another one after any change that shows
};

// Each finds all that there is and may be seen; CheckEnoughToLook
// (process_scan.h) is its only error.

// The regular files in `folder`, where shm_open(3) makes its objects, but for
// those that a daemon is about to give their names.
absl::StatusOr<std::vector<FoundObject>> FindPosixObjects(
    const std::string& folder);

// The System V segments of this IPC namespace, but for those that wait for
// their last mapping to go.
absl::StatusOr<std::vector<FoundObject>> FindSysvObjects();

// The regular files on the hugetlbfs mounts of this mount namespace.
absl::StatusOr<std::vector<FoundObject>> FindHugetlbfsObjects();

// The file that `stat` tells of, at `path` below `root`.
FoundObject FileObject(const sys::FileStat& stat, const std::string& root,
                       const std::string& path);

// The last part of `orphans/{orphan}`. NAME_INVALID, naming `field`.
absl::StatusOr<std::string> ParseOrphanName(absl::string_view field,
                                            absl::string_view name);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_FOUND_OBJECT_H_
