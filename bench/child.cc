#include "bench/child.h"

#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace shmd::bench {
namespace {

cpu_set_t OnlyCpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return set;
}

}  // namespace

void PinTo(int cpu) {
  if (static_cast<unsigned>(cpu) >= std::thread::hardware_concurrency()) return;
  const cpu_set_t set = OnlyCpu(cpu);
  // Only a wish: a container may allow other CPUs than these.
  (void)sched_setaffinity(0, sizeof set, &set);
}

bool PinProcessTo(pid_t pid, int cpu) {
  const cpu_set_t set = OnlyCpu(cpu);
  DIR* const tasks = opendir(absl::StrCat("/proc/", pid, "/task").c_str());
  if (tasks == nullptr) return false;
  bool all = true;
  while (const dirent* entry = readdir(tasks)) {
    pid_t task = 0;
    if (!absl::SimpleAtoi(entry->d_name, &task)) continue;
    all &= sched_setaffinity(task, sizeof set, &set) == 0;
  }
  closedir(tasks);
  return all;
}

OnCpusOf::OnCpusOf(pid_t pid) {
  cpu_set_t theirs;
  if (sched_getaffinity(0, sizeof own_, &own_) != 0 ||
      sched_getaffinity(pid, sizeof theirs, &theirs) != 0 ||
      sched_setaffinity(0, sizeof theirs, &theirs) != 0) {
    std::abort();
  }
}

OnCpusOf::~OnCpusOf() { (void)sched_setaffinity(0, sizeof own_, &own_); }

absl::StatusOr<Child> Child::Start(const std::string& name,
                                   const std::function<absl::Status()>& run) {
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const absl::Status status = run();
    const std::string text(status.message());
    fprintf(stderr, "%s: %s\n", name.c_str(), text.c_str());
    _exit(1);
  }
  return Child(pid);
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Child::~Child() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace shmd::bench
