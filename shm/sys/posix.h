#ifndef SHMD_SHM_SYS_POSIX_H_
#define SHMD_SHM_SYS_POSIX_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace shmd::sys {

// POSIX shared-memory objects by name, with its slash. Thread-safe.

// Follows no link. OBJECT_NOT_FOUND, OBJECT_EXISTS, OBJECT_UNSUITABLE.
absl::StatusOr<UniqueFd> ShmOpen(const std::string& name, int flags,
                                 mode_t mode);

// OBJECT_NOT_FOUND.
absl::Status ShmUnlink(const std::string& name);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_POSIX_H_
