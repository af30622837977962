#include "tests/testing/scoped_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace shmd::testing {
namespace {

namespace fs = std::filesystem;

std::string RandomWord() {
  std::random_device device;
  return absl::StrCat("t", getpid(), "x", absl::Hex(device()),
                      absl::Hex(device()));
}

// The files that a process holds open, by name and inode, but its store's.
std::multiset<std::string> DescriptorTargets(pid_t pid,
                                             const std::string& state_dir,
                                             size_t* count) {
  std::multiset<std::string> out;
  *count = 0;
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(absl::StrCat("/proc/", pid, "/fd"), error)) {
    const std::string target = fs::read_symlink(entry.path(), error).string();
    if (error) continue;
    ++*count;
    if (absl::StartsWith(target, "socket:") ||
        absl::StartsWith(target, "anon_inode:") ||
        absl::StartsWith(target, "pipe:") ||
        // Its own descriptors, under its number.
        absl::StartsWith(target, "/proc/") ||
        // The store opens its journal when it first writes.
        absl::StartsWith(target, state_dir)) {
      continue;
    }
    struct stat file;
    if (stat(entry.path().c_str(), &file) != 0) continue;
    out.insert(absl::StrCat(target, " inode ", file.st_ino));
  }
  return out;
}

// The ids of the SysV segments that one of `pids` has made.
std::vector<int> SysvIdsOf(const std::set<pid_t>& pids) {
  std::vector<int> ids;
  std::ifstream file("/proc/sysvipc/shm");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    // key shmid perms size cpid ...
    const std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() > 4 && pids.count(std::stoi(words[4])) != 0) {
      ids.push_back(std::stoi(words[1]));
    }
  }
  return ids;
}

using Names = std::multiset<std::string>;

void AppendDifference(const Names& from, const Names& to, const char* sign,
                      std::string* out) {
  Names more;
  std::set_difference(from.begin(), from.end(), to.begin(), to.end(),
                      std::inserter(more, more.end()));
  for (const std::string& entry : more) {
    absl::StrAppend(out, sign, entry, "\n");
  }
}

}  // namespace

std::string Runfile(const std::string& path) {
  const char* folder = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  return absl::StrCat(folder == nullptr ? "." : folder, "/",
                      workspace == nullptr ? "." : workspace, "/", path);
}

std::string DiffLedgers(const KernelLedger& before, const KernelLedger& after) {
  std::string out;
  for (const auto field :
       {&KernelLedger::descriptors, &KernelLedger::sysv_segments,
        &KernelLedger::shm_names, &KernelLedger::root_files}) {
    AppendDifference(after.*field, before.*field, "+ ", &out);
    AppendDifference(before.*field, after.*field, "- ", &out);
  }
  return out;
}

absl::StatusOr<std::unique_ptr<ScopedServer>> ScopedServer::Start(
    Options options) {
  auto server =
      std::unique_ptr<ScopedServer>(new ScopedServer(std::move(options)));
  RETURN_IF_ERROR(server->MakeFolders());
  RETURN_IF_ERROR(server->Spawn());
  return server;
}

ScopedServer::~ScopedServer() {
  if (pid_ > 0 && !Stop().ok()) Kill();
  RemoveKernelObjects();
  std::error_code error;
  if (!folder_.empty()) fs::remove_all(folder_, error);
}

absl::Status ScopedServer::MakeFolders() {
  token_ = RandomWord();
  // Not below $TEST_TMPDIR: with that, a socket's path is longer than the 107
  // bytes that it may have.
  std::string pattern = "/tmp/shmd-test-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    return ErrnoStatus(errno, "mkdtemp");
  }
  folder_ = pattern;
  socket_dir_ = folder_ + "/sock";
  state_dir_ = folder_ + "/state";
  file_root_ = folder_ + "/root";
  log_path_ = folder_ + "/log";
  // Clients of other uids must reach the sockets.
  if (chmod(folder_.c_str(), 0755) != 0) return ErrnoStatus(errno, "chmod");
  for (const std::string& path : {socket_dir_, state_dir_, file_root_}) {
    if (mkdir(path.c_str(), 0755) != 0) return ErrnoStatus(errno, "mkdir");
    if (options_.uid != 0 &&
        chown(path.c_str(), options_.uid, options_.gid) != 0) {
      return ErrnoStatus(errno, "chown");
    }
  }
  return absl::OkStatus();
}

absl::Status ScopedServer::Spawn() {
  const std::string binary = Runfile("server/shmd");
  std::vector<std::string> words = {binary, "--socket_dir=" + socket_dir_,
                                    "--state_dir=" + state_dir_};
  if (options_.with_file_root) words.push_back("--file_root=" + file_root_);
  words.insert(words.end(), options_.flags.begin(), options_.flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  out_.Reset(pipe_ends[0]);
  UniqueFd write_end(pipe_ends[1]);
  const UniqueFd log(
      open(log_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log.valid()) return ErrnoStatus(errno, "open");
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return ErrnoStatus(errno, "fork");
  if (child == 0) {
    // Only async-signal-safe calls until exec: the test may have threads.
    if (options_.uid != 0 &&
        (setgid(options_.gid) != 0 || setuid(options_.uid) != 0)) {
      _exit(126);
    }
    // After setuid, which clears it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    dup2(write_end.get(), STDOUT_FILENO);
    dup2(log.get(), STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  pid_ = child;
  pids_.insert(child);
  pidfd_.Reset(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  write_end.Reset();
  const absl::Status ready = AwaitReady(out_.get());
  if (!ready.ok()) Kill();
  return ready;
}

absl::Status ScopedServer::AwaitReady(int out) {
  const absl::Time end = absl::Now() + options_.deadline;
  std::string text;
  while (text.find('\n') == std::string::npos) {
    pollfd waited = {out, POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(end - absl::Now());
    const int ready = left <= 0 ? 0 : poll(&waited, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    char buffer[512];
    const ssize_t length = ready > 0 ? read(out, buffer, sizeof(buffer)) : -1;
    if (length <= 0) {
      return absl::UnavailableError(
          absl::StrCat("the daemon ", ready > 0 ? "ended" : "was too slow",
                       " before it was ready; its log: ", Log()));
    }
    text.append(buffer, static_cast<size_t>(length));
  }
  if (text != absl::StrCat("ready ", socket_dir_, "\n")) {
    return absl::InternalError(absl::StrCat("the daemon said: ", text));
  }
  return absl::OkStatus();
}

int ScopedServer::AwaitExit() {
  pollfd waited = {pidfd_.get(), POLLIN, 0};
  const absl::Time end = absl::Now() + options_.deadline;
  int ready;
  do {
    const int64_t left = absl::ToInt64Milliseconds(end - absl::Now());
    ready = poll(&waited, 1, static_cast<int>(std::max<int64_t>(left, 0)));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return -1;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  pidfd_.Reset();
  out_.Reset();
  return status;
}

absl::Status ScopedServer::Stop() {
  if (pid_ <= 0) return absl::OkStatus();
  kill(pid_, SIGTERM);
  const int status = AwaitExit();
  if (status == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      status == -1 ? "the daemon does not stop"
                   : absl::StrCat("the daemon ended with status ", status),
      "; its log: ", Log()));
}

void ScopedServer::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  AwaitExit();
}

absl::Status ScopedServer::Restart() {
  if (pid_ > 0) return absl::FailedPreconditionError("the daemon is running");
  return Spawn();
}

std::string ScopedServer::Log() const {
  std::ifstream file(log_path_);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

KernelLedger ScopedServer::Ledger() const {
  KernelLedger ledger;
  std::error_code error;
  if (pid_ > 0) {
    ledger.descriptors =
        DescriptorTargets(pid_, state_dir_, &ledger.descriptor_count);
  }
  for (const int id : SysvIdsOf(pids_)) {
    ledger.sysv_segments.insert(absl::StrCat("shmid ", id));
  }
  for (const auto& entry : fs::directory_iterator("/dev/shm", error)) {
    const std::string name = entry.path().filename().string();
    if (absl::StrContains(name, token_)) ledger.shm_names.insert(name);
  }
  for (const auto& entry :
       fs::recursive_directory_iterator(file_root_, error)) {
    ledger.root_files.insert(entry.path().string());
  }
  return ledger;
}

void ScopedServer::RemoveKernelObjects() const {
  for (const int id : SysvIdsOf(pids_)) shmctl(id, IPC_RMID, nullptr);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/dev/shm", error)) {
    if (absl::StrContains(entry.path().filename().string(), token_)) {
      fs::remove(entry.path(), error);
    }
  }
}

}  // namespace shmd::testing
