#include "server/session/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace shmd {
namespace {

constexpr size_t kStartTicksField = 22;

// The files of /proc that are read here are shorter than this.
std::string ReadSmall(const std::string& path) {
  char buffer[2048];
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return "";
  const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
  return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : "";
}

// The second field is the program's name in parentheses, and a name may have
// spaces and parentheses of its own: what follows the last one is the rest.
uint64_t ParseStartTicks(const std::string& stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(
      absl::string_view(stat).substr(name_end + 1), ' ', absl::SkipEmpty());
  constexpr size_t kFirstField = 3;
  constexpr size_t kIndex = kStartTicksField - kFirstField;
  uint64_t ticks = 0;
  if (fields.size() <= kIndex || !absl::SimpleAtoi(fields[kIndex], &ticks)) {
    return 0;
  }
  return ticks;
}

}  // namespace

Process LookAtProcess(pid_t pid) {
  Process process;
  process.pid = pid;
  if (pid <= 0) return process;
  const std::string folder = absl::StrCat("/proc/", pid);
  process.start_ticks = ParseStartTicks(ReadSmall(folder + "/stat"));
  process.command = ReadSmall(folder + "/comm");
  absl::StripTrailingAsciiWhitespace(&process.command);
  return process;
}

UniqueFd OpenProcess(const Process& earlier) {
  if (earlier.pid <= 0) return UniqueFd();
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, earlier.pid, 0)));
  if (!pidfd.valid()) return pidfd;
  // Now the number cannot pass to another one unseen.
  const Process now = LookAtProcess(earlier.pid);
  if (now.start_ticks != earlier.start_ticks || HasEnded(pidfd.get())) {
    pidfd.Reset();
  }
  return pidfd;
}

bool HasEnded(int pidfd) {
  pollfd event = {pidfd, POLLIN, 0};
  return poll(&event, 1, 0) == 1;
}

}  // namespace shmd
