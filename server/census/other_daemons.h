#ifndef SHMD_SERVER_CENSUS_OTHER_DAEMONS_H_
#define SHMD_SERVER_CENSUS_OTHER_DAEMONS_H_

#include <sys/types.h>

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/census/found_object.h"

namespace shmd {

// Daemons of this kind beside this one, whose segments this one does not know:
// a named segment that nobody has attached looks like an orphan.
struct OtherDaemon {
  pid_t pid = 0;
  uid_t uid = 0;
};

// Those in this pid namespace: processes called `shmd` other than this one and
// its parent, which may be its keeper. Thread-safe. Errors as of ScanProcesses.
absl::StatusOr<std::vector<OtherDaemon>> FindOtherDaemons();

// One that may have made `object` a segment: it runs as root or as the object's
// owner, and sees the same System V IPC or the same file system.
std::optional<OtherDaemon> PossibleOwner(
    const std::vector<OtherDaemon>& daemons, const FoundObject& object);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_OTHER_DAEMONS_H_
