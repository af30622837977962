#include "shm/sys/posix.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

#include "base/error_reason.h"
#include "shm/sys/errno_table.h"

namespace shmd::sys {
namespace {

using absl::StatusCode;

constexpr ErrnoRow kShmTable[] = {
    {ENOENT, StatusCode::kNotFound, reason::kObjectNotFound,
     "there is no such POSIX shared-memory object"},
    {EEXIST, StatusCode::kAlreadyExists, reason::kObjectExists,
     "there is such a POSIX shared-memory object already"},
    {EINVAL, StatusCode::kInvalidArgument, reason::kPosixNameInvalid,
     "the name is not that of a POSIX shared-memory object"},
    {ENAMETOOLONG, StatusCode::kInvalidArgument, reason::kPosixNameInvalid,
     "the name is too long"},
    {ELOOP, StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
     "the name is a symbolic link"},
    {ENXIO, StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
     "it is no regular file"},
    {EISDIR, StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
     "it is a folder"},
    {EACCES, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the daemon may not open it so"},
    {EPERM, StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
     "the daemon may not remove it"},
    {ENOSPC, StatusCode::kResourceExhausted, reason::kShmSpaceExhausted,
     "the tmpfs of POSIX shared memory has no room for another name"},
    {ENOSYS, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "this host has no tmpfs for POSIX shared memory"},
};

}  // namespace

absl::StatusOr<UniqueFd> ShmOpen(const std::string& name, int flags,
                                 mode_t mode) {
  // Somebody may have put a pipe there: opening must not block.
  if ((flags & O_PATH) == 0) flags |= O_NONBLOCK;
  for (;;) {
    UniqueFd fd(shm_open(name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode));
    if (fd.valid()) return fd;
    if (errno == EINTR) continue;
    return StatusOfErrno(errno, "shm_open", kShmTable);
  }
}

absl::Status ShmUnlink(const std::string& name) {
  if (shm_unlink(name.c_str()) == 0) return absl::OkStatus();
  return StatusOfErrno(errno, "shm_unlink", kShmTable);
}

}  // namespace shmd::sys
