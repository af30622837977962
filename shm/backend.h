#ifndef SHMD_SHM_BACKEND_H_
#define SHMD_SHM_BACKEND_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "shm/kernel_object.h"
#include "shm/types.h"

namespace shmd {

// Permission bits of what is not finished. The sticky bit of a file in memory
// or on a disk means nothing to Linux, nor do execute bits of System V
// segments, and nobody else sets just these.
inline constexpr mode_t kUnfinishedMode = 01600;
inline constexpr mode_t kUnfinishedSysvMode = 0611;

// BACKEND_UNSUPPORTED (UNIMPLEMENTED): what a mechanism cannot do at all.
Error BackendUnsupported(absl::string_view why);

// Of a folder that the path of a file leads through.
struct FolderPermissions {
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;
  bool is_last = false;  // the file's own
};

// One mechanism of the kernel for shared memory. Stateless but for its
// settings, hence thread-safe. Every implementation passes
// tests/conformance/backend_conformance.h. What a failed call began, it has
// undone. Errors are those of the RPC of the same name in segment.proto.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual BackendKind kind() const = 0;

  // Make, Finish and FlushName.
  absl::StatusOr<KernelObject> Create(const SegmentOptions& options) const;

  // Has `check` judge each folder between the root and the file, outermost
  // first, until it refuses one or one is not there: a daemon that may open
  // every folder does not let everybody in. The root itself is open to all.
  virtual absl::Status CheckFolders(
      const std::string&,
      const std::function<absl::Status(const FolderPermissions&)>&) const {
    return absl::OkStatus();
  }

  // Makes an object. Refuses, in words, what the kernel could not keep:
  // limits are read first (shm/limits.h), then pages are reserved. Until Finish
  // it has no owner, group and mode of its own but a mark (kUnfinishedMode), by
  // which RemoveUnfinished knows it: the maker may die in between.
  virtual absl::StatusOr<KernelObject> Make(
      const SegmentOptions& options) const = 0;

  // Lets others at it, and makes it durable where it can be; its name by
  // FlushName.
  virtual absl::Status Finish(const KernelObject& object,
                              const SegmentOptions& options) const = 0;

  // Makes the name of a made object as durable as the object, which needs this
  // if it says so (needs_name_flush): for a file, the folder is flushed. Beside
  // Finish, in another thread, it costs little more than one of them: file
  // systems commit what is flushed at once together.
  virtual absl::Status FlushName(const KernelObject&) const {
    return absl::OkStatus();
  }

  // Removes the object that an earlier Make left unfinished, if one is there:
  // by its posix_name or file_path; for SysV all of them whose makers are gone,
  // whatever `made` says.
  virtual absl::Status RemoveUnfinished(const AdoptOptions& made) const = 0;

  // Takes up another program's object without changing it.
  virtual absl::StatusOr<KernelObject> Adopt(
      const AdoptOptions& options) const = 0;

  // Finds the object that `name` was recorded for; OBJECT_REPLACED when
  // something else answers to the name, OBJECT_NOT_FOUND when nothing does.
  virtual absl::StatusOr<KernelObject> Reopen(
      const ObjectName& name, uint64_t page_size_bytes) const = 0;

  // What to hand to a program: a new descriptor, opened O_RDONLY for kRead, or
  // a shmid.
  virtual absl::StatusOr<ObjectRef> Open(const KernelObject& object,
                                         Access access) const = 0;

  // Removes the object's name. What is mapped stays mapped. OK when it is
  // gone already; leaves alone what has replaced it.
  virtual absl::Status Remove(const KernelObject& object) const = 0;

  // Takes the memory away from everybody: the object has no bytes any more, and
  // a touch of a mapping is SIGBUS. For objects made as revocable;
  // BACKEND_UNSUPPORTED where the kernel has no such call.
  virtual absl::Status Revoke(const KernelObject& object) const = 0;

  // Grows to the size in `options`, or shrinks where the object's seals allow,
  // with the same promises as Create: `allocation` and `numa` are of what is
  // new.
  virtual absl::Status Resize(const KernelObject& object,
                              const SegmentOptions& options) const = 0;

  virtual absl::Status Seal(const KernelObject& object,
                            SealExtent extent) const = 0;

  virtual absl::Status SetOwnership(const KernelObject& object, mode_t mode,
                                    uid_t owner, gid_t group) const = 0;

  // Flushes a range that lies within the object.
  virtual absl::Status Flush(const KernelObject& object, FlushMode mode,
                             uint64_t offset_bytes,
                             uint64_t length_bytes) const = 0;

  // Whether Make promises such an object, and the first Open makes it.
  virtual bool IsMadeLate(const SegmentOptions& options) const {
    static_cast<void>(options);
    return false;
  }

  // What Status would tell of an object that Create has just made with
  // `options`, where that is known without asking the kernel; less the inode's
  // owner, group and mode.
  virtual std::optional<ObjectStatus> FreshStatus(
      const KernelObject& object, const SegmentOptions& options) const {
    static_cast<void>(object);
    static_cast<void>(options);
    return std::nullopt;
  }

  // What the kernel tells now; pages per node only `with_nodes`.
  virtual absl::StatusOr<ObjectStatus> Status(const KernelObject& object,
                                              bool with_nodes) const = 0;
};

// The four backends. `file_roots` are absolute paths of folders that mapped
// files may lie in; relative file paths start at the first.
struct BackendSettings {
  std::vector<std::string> file_roots;
  // Left to the rest of the host when pages are reserved.
  uint64_t memory_reserve_bytes = uint64_t{64} << 20;
  // Whether memfds get an ObjectName that tells them from others, because
  // somebody keeps them beyond the daemon's end. Takes a system call each.
  bool identify_memfds = false;
};

class BackendSet {
 public:
  explicit BackendSet(const BackendSettings& settings);

  const Backend& Get(BackendKind kind) const;

 private:
  std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace shmd

#endif  // SHMD_SHM_BACKEND_H_
