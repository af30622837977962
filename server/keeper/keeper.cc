#include "server/keeper/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/keeper/notification.h"

namespace shmd {
namespace {

// Standard streams, socket, signals, one message's descriptors, and some.
constexpr uint64_t kOwnDescriptors = kMaxPassengers + 11;
// So that signals are looked at, however much the daemon sends.
constexpr int kMaxPerDrain = 4096;
constexpr int kMaxLastDrains = 16;
// A stranger does not fill the log.
constexpr uint64_t kMaxRefusalsLogged = 10;

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// Descriptors of the daemon begin at 3, and ours must not be in their way.
absl::Status OpenStandardStreams() {
  for (;;) {
    const int fd = open("/dev/null", O_RDWR);
    if (fd < 0) return ErrnoStatus(errno, "open of /dev/null");
    if (fd > STDERR_FILENO) return close(fd), absl::OkStatus();
  }
}

absl::StatusOr<std::string> RandomPath(const std::string& folder) {
  uint32_t number = 0;
  if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    return ErrnoStatus(errno, "getrandom");
  }
  return absl::StrCat(folder, "/keeper-", absl::Hex(number, absl::kZeroPad8));
}

std::string Describe(bool by_signal, int number) {
  return by_signal
             ? absl::StrCat("by signal ", number, " (", strsignal(number), ")")
             : absl::StrCat("with exit status ", number);
}

}  // namespace

Keeper::Keeper(Settings settings)
    : settings_(std::move(settings)),
      buffer_(std::make_unique<char[]>(kMaxNotificationBytes)) {}

absl::Status Keeper::SetUp() {
  RETURN_IF_ERROR(OpenStandardStreams());
  const uint64_t limit = RaiseDescriptorLimit();
  if (limit <= kOwnDescriptors) {
    return Exhausted("DESCRIPTORS_EXHAUSTED", "RLIMIT_NOFILE", kOwnDescriptors,
                     limit, "descriptors");
  }
  kept_ = std::make_unique<KeptDescriptors>(limit - kOwnDescriptors);
  // Nobody of our uid gets at descriptors by ptrace(2) or /proc/PID/fd.
  prctl(PR_SET_DUMPABLE, 0);
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) {
    sigaddset(&mask, number);
    signal(number, SIG_DFL);  // an ignored SIGCHLD would reap for us
  }
  if (sigprocmask(SIG_BLOCK, &mask, &old_mask_) != 0) {
    return ErrnoStatus(errno, "sigprocmask");
  }
  signals_.Reset(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return ErrnoStatus(errno, "signalfd");
  return absl::OkStatus();
}

absl::StatusOr<int> Keeper::Run() {
  RETURN_IF_ERROR(SetUp());
  int failed_starts = 0;
  for (;;) {
    became_ready_ = false;
    RETURN_IF_ERROR(Start());
    ASSIGN_OR_RETURN(const End end, Serve());
    const std::string how = Describe(end.by_signal, end.number);
    if (stop_) {
      Log(LogLevel::kNotice, absl::StrCat("keeper: the daemon ended ", how));
      return end.by_signal ? 128 + end.number : end.number;
    }
    // 0: somebody else has asked it to stop. 2: no start will be different.
    // Any status of the first start: whoever started us wants to know.
    const bool for_good =
        !end.by_signal && (end.number == 0 || end.number == 2 || !ever_ready_);
    if (for_good) return end.number;
    failed_starts = became_ready_ ? 0 : failed_starts + 1;
    if (failed_starts >= settings_.max_failed_starts) {
      Log(LogLevel::kError,
          absl::StrCat("keeper: the daemon ended ", how, "; giving up after ",
                       failed_starts, " starts, and with it ", kept_->size(),
                       " descriptors"));
      return 1;
    }
    const int doublings = std::min(std::max(failed_starts - 1, 0), 30);
    const absl::Duration delay = std::min(
        settings_.max_delay, settings_.first_delay * (int64_t{1} << doublings));
    Log(LogLevel::kError,
        absl::StrCat("keeper: the daemon ended ", how, "; again in ",
                     absl::FormatDuration(delay), " with ", kept_->size(),
                     " descriptors"));
    SleepUnlessStopped(delay);
    if (stop_) return 0;
  }
}

absl::Status Keeper::Start() {
  ASSIGN_OR_RETURN(socket_path_, RandomPath(settings_.folder));
  // A new one for each daemon: what one has sent is never taken for another's.
  ASSIGN_OR_RETURN(socket_, BindNotifySocket(socket_path_));
  connected_back_ = false;
  const std::vector<KeptDescriptors::Listed> listed = kept_->List();
  const pid_t pid = fork();
  if (pid == 0) BecomeDaemon(listed);
  if (pid < 0) {
    const int error_number = errno;
    unlink(socket_path_.c_str());
    return ErrnoStatus(error_number, "fork");
  }
  pid_ = pid;
  return absl::OkStatus();
}

void Keeper::BecomeDaemon(const std::vector<KeptDescriptors::Listed>& listed) {
  // A group of its own: Ctrl-C is for us, who pass it on once. No signal when
  // we die: it goes on serving.
  setpgid(0, 0);
  std::vector<absl::string_view> names;
  for (const KeptDescriptors::Listed& kept : listed) {
    names.push_back(kept.name);
  }
  setenv("NOTIFY_SOCKET", socket_path_.c_str(), 1);
  setenv("FDSTORE", absl::StrCat(kept_->max_descriptors()).c_str(), 1);
  setenv("LISTEN_PID", absl::StrCat(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", absl::StrCat(listed.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", JoinFdNames(names).c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& argument : settings_.command) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  if (MoveToListedNumbers(listed)) {
    sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    execv(argv[0], argv.data());
    if (errno == ENOENT) execv("/proc/self/exe", argv.data());
  }
  Log(LogLevel::kError,
      absl::StrCat("keeper: cannot start ", argv[0], ": ", strerror(errno)));
  _exit(1);
}

absl::StatusOr<Keeper::End> Keeper::Serve() {
  const timespec nap = absl::ToTimespec(settings_.nap);
  bool napping = false;
  for (;;) {
    pollfd sources[] = {{signals_.get(), POLLIN, 0},
                        {napping ? -1 : socket_.get(), POLLIN, 0}};
    const int ready = ppoll(sources, 2, napping ? &nap : nullptr, nullptr);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "ppoll");
    if (sources[0].revents != 0) ReadSignals();
    End end;
    if (Reap(&end)) {
      unlink(socket_path_.c_str());
      socket_.Reset();
      return end;
    }
    napping = Drain();
  }
}

bool Keeper::Drain() {
  for (int i = 0; i < kMaxPerDrain; ++i) {
    absl::StatusOr<IncomingNotification> message = ReceiveNotification(
        socket_.get(), absl::MakeSpan(buffer_.get(), kMaxNotificationBytes));
    if (absl::IsNotFound(message.status())) return i > 0;
    if (!message.ok()) {
      Log(LogLevel::kError,
          absl::StrCat("keeper: ", message.status().message()));
      return true;  // later, perhaps
    }
    Take(*std::move(message));
  }
  return true;
}

void Keeper::Take(IncomingNotification message) {
  if (message.pid != pid_ || message.uid != geteuid()) {
    if (++refused_ <= kMaxRefusalsLogged) {
      Log(LogLevel::kError,
          absl::StrCat("keeper: refused a message of process ", message.pid,
                       ", uid ", message.uid));
    }
    return;
  }
  const absl::StatusOr<Notification> parsed = ParseNotification(message.text);
  if (!parsed.ok() || message.truncated) {
    Log(LogLevel::kError,
        absl::StrCat("keeper: dropped a message: ",
                     parsed.ok() ? "truncated" : parsed.status().message()));
    return;
  }
  if (!connected_back_ && !message.address.empty()) {
    connected_back_ = true;
    // The kernel refuses everybody else from now on. It fails when the daemon
    // has died since, and this is the rest of its queue.
    if (ConnectBack(socket_.get(), message.address).ok()) {
      unlink(socket_path_.c_str());
    }
  }
  if (parsed->ready) ever_ready_ = became_ready_ = true;
  const absl::string_view name =
      parsed->fd_name.empty() ? kUnnamedFd : parsed->fd_name;
  if (parsed->remove) {
    // As systemd: what has no name is not removed by mistake.
    if (!parsed->fd_name.empty()) kept_->Remove(name);
  } else if (parsed->store) {
    for (UniqueFd& fd : message.fds) {
      const absl::Status status = kept_->Add(name, std::move(fd));
      if (status.ok()) continue;
      Log(LogLevel::kError,
          absl::StrCat("keeper: `", name, "` is not kept: ", status.message()));
    }
  }
  // BARRIER=1 is answered by closing its descriptor, as all that remain.
}

void Keeper::ReadSignals() {
  signalfd_siginfo record{};
  while (read(signals_.get(), &record, sizeof(record)) == sizeof(record)) {
    if (record.ssi_signo == SIGCHLD) continue;
    stop_ = true;
    // A second one ends the daemon at once, as it would without us.
    if (pid_ > 0) kill(pid_, SIGTERM);
  }
}

bool Keeper::Reap(End* end) {
  for (;;) {
    siginfo_t record{};
    if (waitid(P_ALL, 0, &record, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        record.si_pid == 0) {
      return false;
    }
    if (record.si_pid == pid_) break;
    // As process 1 of a container we also inherit other processes' children.
    waitpid(record.si_pid, nullptr, 0);
  }
  // While its number is still its own: what it sent before it died. That is
  // not more than its buffer took.
  for (int i = 0; i < kMaxLastDrains && Drain(); ++i) {
  }
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return false;
  pid_ = 0;
  end->by_signal = WIFSIGNALED(status);
  end->number = end->by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
  return true;
}

void Keeper::SleepUnlessStopped(absl::Duration delay) {
  const absl::Duration end = Clock::Real()->SinceBoot() + delay;
  while (!stop_) {
    const absl::Duration left_to_sleep = end - Clock::Real()->SinceBoot();
    if (left_to_sleep <= absl::ZeroDuration()) return;
    pollfd signal_source{signals_.get(), POLLIN, 0};
    const timespec left = absl::ToTimespec(left_to_sleep);
    if (ppoll(&signal_source, 1, &left, nullptr) > 0) ReadSignals();
  }
}

}  // namespace shmd
