#include "cli/host_checks.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/format.h"
#include "shm/sys/socket.h"
#include "shm/sys/sysv_limits.h"

namespace shmd::cli {
namespace {

// What container engines give /dev/shm unless they are told otherwise.
constexpr uint64_t kContainerShmBytes = uint64_t{64} << 20;
// Half of the descriptors are for memfd segments.
constexpr uint64_t kFewDescriptors = 4096;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Check CheckSocket(const std::string& path, const std::string& name) {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) {
    return {name, "there is none",
            absl::StrCat("start shmd; ", path, " is where it listens")};
  }
  const mode_t mode = found.st_mode & 0777;
  const std::string who = (mode & 0002) != 0   ? "every user may connect"
                          : (mode & 0020) != 0 ? "owner and group may connect"
                                               : "the owner alone may connect";
  return {name, absl::StrCat("mode ", OctalMode(mode), ": ", who), ""};
}

// "unlimited", or the number of /proc/PID/limits; of the soft limit.
std::optional<std::string> SoftLimit(absl::string_view limits,
                                     absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(limits, '\n')) {
    if (!absl::ConsumePrefix(&line, name)) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (!words.empty()) return words[0];
  }
  return std::nullopt;
}

Check CheckSysv() {
  const auto limits = sys::ReadSysvLimits();
  if (!limits.ok()) return {"System V", "cannot be read", ""};
  Check out{"System V",
            absl::StrCat(limits->used_segments, " of ", limits->max_segments,
                         " segments"),
            ""};
  if (limits->used_segments >= limits->max_segments / 10 * 9) {
    out.advice = "remove some (`shm gc`, ipcrm), or raise kernel.shmmni";
  }
  return out;
}

Check CheckTransparentHugePages() {
  const std::string text =
      ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  const size_t open = text.find('[');
  const size_t close = text.find(']');
  const std::string setting = open < close && close != std::string::npos
                                  ? text.substr(open + 1, close - open - 1)
                                  : "unknown";
  if (setting != "never" && setting != "deny") {
    return {"transparent huge pages", setting, ""};
  }
  return {"transparent huge pages",
          absl::StrCat(setting,
                       ", so huge_page_advice has no effect; write "
                       "`advise` into shmem_enabled if it shall"),
          ""};
}

}  // namespace

Check CheckSpace(const std::string& subject, uint64_t size_bytes,
                 uint64_t available_bytes) {
  Check out{subject,
            absl::StrCat(HumanSize(available_bytes), " left of ",
                         HumanSize(size_bytes)),
            ""};
  if (available_bytes < size_bytes / 10) {
    out.advice = absl::StrCat(
        "remove what nobody uses (`shm gc`), or `mount "
        "-o remount,size=... ",
        subject, "`");
  } else if (size_bytes <= kContainerShmBytes) {
    out.advice =
        "that is what containers get unless told otherwise: run it with "
        "--shm-size, or use memfd segments, which need no such space";
  }
  return out;
}

std::vector<Check> CheckSockets(const std::string& socket_dir) {
  std::vector<Check> out = {
      CheckSocket(socket_dir + "/grpc.sock", "grpc.sock"),
      CheckSocket(socket_dir + "/attach.sock", "attach.sock")};
  struct stat folder = {};
  if (stat(socket_dir.c_str(), &folder) == 0 && (folder.st_mode & 0022) != 0 &&
      (folder.st_mode & S_ISVTX) == 0) {
    out.push_back({"socket folder",
                   absl::StrCat("mode ", OctalMode(folder.st_mode & 07777),
                                ": others may replace the sockets"),
                   absl::StrCat("chmod 0755 ", socket_dir)});
  }
  return out;
}

std::vector<Check> CheckProcessLimits(absl::string_view limits) {
  std::vector<Check> out;
  const auto files = SoftLimit(limits, "Max open files");
  if (files.has_value()) {
    Check check{"RLIMIT_NOFILE of shmd", *files, ""};
    uint64_t number = 0;
    if (absl::SimpleAtoi(*files, &number) && number < kFewDescriptors) {
      check.advice = absl::StrCat(
          "half of them are for memfd segments; raise it (LimitNOFILE=)");
    }
    out.push_back(check);
  }
  const auto locked = SoftLimit(limits, "Max locked memory");
  if (locked.has_value()) {
    uint64_t bytes = 0;
    out.push_back({"RLIMIT_MEMLOCK of shmd",
                   absl::SimpleAtoi(*locked, &bytes)
                       ? absl::StrCat(HumanSize(bytes),
                                      ", for lock_in_memory; CAP_IPC_LOCK goes "
                                      "beyond it")
                       : *locked,
                   ""});
  }
  return out;
}

std::vector<Check> CheckHost() {
  std::vector<Check> out;
  struct statvfs shm = {};
  if (statvfs("/dev/shm", &shm) == 0) {
    out.push_back(CheckSpace("/dev/shm", shm.f_blocks * shm.f_frsize,
                             shm.f_bavail * shm.f_frsize));
  } else {
    out.push_back({"/dev/shm", "is not there",
                   "mount a tmpfs on it, or use memfd segments"});
  }
  out.push_back(CheckSysv());
  out.push_back(CheckTransparentHugePages());
  return out;
}

std::vector<Check> CheckNode(const Node& node) {
  std::vector<Check> out;
  out.push_back(
      {"segments",
       absl::StrCat(node.segment_count, ", ", HumanSize(node.segment_bytes),
                    " of ", HumanSize(node.budget_bytes)),
       node.segment_bytes > node.budget_bytes / 10 * 9
           ? "delete some, or raise --budget_bytes"
           : ""});
  if (node.cgroup_available_bytes.has_value()) {
    out.push_back(
        {"memory cgroup",
         absl::StrCat(HumanSize(*node.cgroup_available_bytes), " left"),
         *node.cgroup_available_bytes < kContainerShmBytes
             ? "raise the container's memory limit"
             : ""});
  }
  for (const Node::HugePagePool& pool : node.huge_page_pools) {
    Check check{
        absl::StrCat("pages of ", HumanSize(pool.page_size_bytes)),
        absl::StrCat(pool.available_pages, " left of ", pool.total_pages), ""};
    if (pool.total_pages > 0 && pool.available_pages == 0) {
      check.advice =
          "see who has them (`shm ls`, `shm gc`), or raise vm.nr_hugepages";
    }
    out.push_back(check);
  }
  return out;
}

std::string ReadDaemonLimits(const std::string& socket_dir) {
  const auto socket = sys::ConnectUnix(socket_dir + "/attach.sock",
                                       sys::SocketType::kSeqpacket);
  if (!socket.ok()) return "";
  const auto peer = sys::ReadPeerCredentials(socket->get());
  if (!peer.ok() || peer->pid <= 0) return "";
  return ReadFile(absl::StrCat("/proc/", peer->pid, "/limits"));
}

}  // namespace shmd::cli
