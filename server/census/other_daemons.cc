#include "server/census/other_daemons.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/census/open_folder.h"
#include "server/census/process_scan.h"
#include "shm/sys/errno_table.h"

namespace shmd {
namespace {

// Whether what the other process sees is ours; also when that cannot be seen,
// but not when there is nothing: it has ended meanwhile, or has no such folder.
bool MayBeSame(const std::string& theirs, const std::string& ours) {
  struct stat first = {};
  struct stat second = {};
  if (stat(theirs.c_str(), &first) != 0) {
    return errno != ENOENT && errno != ESRCH;
  }
  if (stat(ours.c_str(), &second) != 0) return true;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

absl::StatusOr<std::vector<OtherDaemon>> FindOtherDaemons() {
  std::vector<OtherDaemon> out;
  const OpenFolder all(opendir("/proc"));
  if (all == nullptr) return sys::StatusOfErrno(errno, "opendir", {});
  while (const dirent* entry = readdir(all.get())) {
    OtherDaemon daemon;
    if (!absl::SimpleAtoi(entry->d_name, &daemon.pid) ||
        daemon.pid == getpid() || daemon.pid == getppid()) {
      continue;
    }
    const std::string folder = absl::StrCat("/proc/", daemon.pid);
    ASSIGN_OR_RETURN(const std::string name, ReadProcFile(folder + "/comm"));
    if (name != "shmd\n") continue;
    ASSIGN_OR_RETURN(const ProcessFacts facts, ReadProcessFacts(daemon.pid));
    daemon.uid = facts.uid;
    out.push_back(daemon);
  }
  return out;
}

std::optional<OtherDaemon> PossibleOwner(
    const std::vector<OtherDaemon>& daemons, const FoundObject& object) {
  for (const OtherDaemon& daemon : daemons) {
    if (daemon.uid != 0 && daemon.uid != object.owner) continue;
    const std::string folder = absl::StrCat("/proc/", daemon.pid);
    const bool same =
        object.object.kind == ObjectId::Kind::kSysv
            ? MayBeSame(folder + "/ns/ipc", "/proc/self/ns/ipc")
            : MayBeSame(absl::StrCat(folder, "/root", object.root),
                        object.root);
    if (same) return daemon;
  }
  return std::nullopt;
}

}  // namespace shmd
