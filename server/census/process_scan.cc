#include "server/census/process_scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "server/census/open_folder.h"
#include "server/census/proc_text.h"
#include "shm/sys/errno_table.h"

namespace shmd {
namespace {

// Reads the file `name` of `folder` to its end into `text`; an errno, 0 when
// it went well. The kernel makes these texts page by page: few large reads.
int ReadWhole(int folder, const char* name, std::string& text) {
  constexpr size_t kPieceBytes = 64 << 10;
  const UniqueFd file(openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  size_t used = 0;
  for (;;) {
    text.resize(std::max(text.size(), used + kPieceBytes));
    const ssize_t got = read(file.get(), &text[used], text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  text.resize(used);
  return 0;
}

bool IsRefusal(int error_number) {
  return error_number == EACCES || error_number == EPERM;
}

// The inode of a namespace of a process, 0 where it cannot be seen.
uint64_t NamespaceOf(int process, const char* name) {
  struct stat found = {};
  return fstatat(process, name, &found, 0) == 0 ? found.st_ino : 0;
}

// One look through /proc.
class Scanner {
 public:
  Scanner(const WantedObjects& wanted, bool with_descriptors)
      : wanted_(wanted), with_descriptors_(with_descriptors) {}

  absl::StatusOr<ProcessScan> Run() {
    const OpenFolder all(opendir("/proc"));
    if (all == nullptr) return sys::StatusOfErrno(errno, "opendir", {});
    ipc_namespace_ = NamespaceOf(dirfd(all.get()), "self/ns/ipc");
    while (const dirent* entry = readdir(all.get())) {
      pid_t pid = 0;
      if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
      const UniqueFd process(openat(dirfd(all.get()), entry->d_name,
                                    O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (process.valid()) {
        RETURN_IF_ERROR(Look(process.get(), pid));
      } else {
        RETURN_IF_ERROR(CheckEnoughToLook(errno, "openat"));
      }
    }
    std::sort(
        scan_.uses.begin(), scan_.uses.end(),
        [](const ProcessUse& a, const ProcessUse& b) { return a.pid < b.pid; });
    return std::move(scan_);
  }

 private:
  absl::Status Look(int process, pid_t pid) {
    ProcessUse use;
    use.pid = pid;
    int error_number = ReadWhole(process, "maps", text_);
    if (error_number == 0) {
      AddMapped(process, use);
      if (with_descriptors_) error_number = AddOpen(process, use);
    }
    RETURN_IF_ERROR(CheckEnoughToLook(error_number, "open"));
    if (IsRefusal(error_number)) {
      scan_.hidden += HasMemory(process) ? 1 : 0;
    } else if (error_number == 0) {
      ++scan_.looked_at;
    }
    if (!use.objects.empty()) scan_.uses.push_back(std::move(use));
    return absl::OkStatus();
  }

  bool WantsDevice(uint64_t device) const {
    return std::find(wanted_.devices.begin(), wanted_.devices.end(), device) !=
           wanted_.devices.end();
  }

  void AddMapped(int process, ProcessUse& use) {
    // Two IPC namespaces may give the same number to two segments.
    std::optional<bool> same_ipc;
    ParseMaps(text_, [&](const MapsLine& line) {
      if (line.object.kind == ObjectId::Kind::kSysv) {
        if (!wanted_.sysv) return;
        if (!same_ipc.has_value()) {
          same_ipc = NamespaceOf(process, "ns/ipc") == ipc_namespace_;
        }
        if (!*same_ipc) return;
      } else if (!WantsDevice(line.object.device)) {
        return;
      }
      ObjectUse& object = use.objects[line.object];
      object.mapped_bytes += line.bytes;
      object.writable |= line.writable;
    });
  }

  // Returns an errno, 0 when it went well.
  int AddOpen(int process, ProcessUse& use) {
    if (wanted_.devices.empty()) return 0;
    const OpenFolder open_files = OpenFolderAt(process, "fd");
    if (open_files == nullptr) return errno;
    const int folder = dirfd(open_files.get());
    while (const dirent* entry = readdir(open_files.get())) {
      if (entry->d_name[0] == '.') continue;
      // Without asking a server for news, which may be slow or gone.
      struct statx found = {};
      if (statx(folder, entry->d_name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
                STATX_TYPE | STATX_INO, &found) != 0 ||
          !S_ISREG(found.stx_mode)) {
        continue;
      }
      const uint64_t device = makedev(found.stx_dev_major, found.stx_dev_minor);
      if (!WantsDevice(device)) continue;
      use.objects[{ObjectId::Kind::kInode, device, found.stx_ino}];
    }
    return 0;
  }

  // Threads of the kernel and zombies have none, and everybody may see that.
  bool HasMemory(int process) {
    if (ReadWhole(process, "stat", text_) != 0) return false;
    const std::optional<ProcessState> state = ParseStat(text_);
    return state.has_value() && !state->is_kernel_thread && !state->is_dead;
  }

  const WantedObjects& wanted_;
  const bool with_descriptors_;
  uint64_t ipc_namespace_ = 0;
  ProcessScan scan_;
  std::string text_;
};

}  // namespace

absl::Status CheckEnoughToLook(int error_number, absl::string_view call) {
  if (error_number != EMFILE && error_number != ENFILE &&
      error_number != ENOMEM) {
    return absl::OkStatus();
  }
  return sys::StatusOfErrno(error_number, call, {});
}

absl::StatusOr<ProcessScan> ScanProcesses(const WantedObjects& wanted,
                                          bool with_descriptors) {
  return Scanner(wanted, with_descriptors).Run();
}

absl::StatusOr<std::string> ReadProcFile(const std::string& path) {
  std::string text;
  const int error_number = ReadWhole(AT_FDCWD, path.c_str(), text);
  RETURN_IF_ERROR(CheckEnoughToLook(error_number, "open"));
  if (error_number != 0) text.clear();
  return text;
}

absl::StatusOr<ProcessFacts> ReadProcessFacts(pid_t pid) {
  const std::string folder = absl::StrCat("/proc/", pid);
  ASSIGN_OR_RETURN(const std::string status, ReadProcFile(folder + "/status"));
  ASSIGN_OR_RETURN(const std::string command, ReadProcFile(folder + "/comm"));
  ASSIGN_OR_RETURN(const std::string cgroup, ReadProcFile(folder + "/cgroup"));
  ProcessFacts out;
  out.uid = ParseStatusUid(status).value_or(0);
  out.command = EscapedName(absl::StripSuffix(command, "\n"));
  out.container = EscapedName(ParseCgroup(cgroup));
  return out;
}

absl::StatusOr<bool> IsAlive(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadProcFile(absl::StrCat("/proc/", pid, "/stat")));
  const std::optional<ProcessState> state = ParseStat(text);
  return state.has_value() && !state->is_dead;
}

}  // namespace shmd
