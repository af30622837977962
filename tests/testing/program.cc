#include "tests/testing/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/unique_fd.h"

namespace shmd::testing {
namespace {

std::vector<std::string> MakeEnvironment(
    const std::map<std::string, std::string>& changes) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (changes.count(text.substr(0, text.find('='))) == 0) {
      out.push_back(text);
    }
  }
  for (const auto& [key, value] : changes) {
    out.push_back(absl::StrCat(key, "=", value));
  }
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

// Reads both pipes to their ends; false once the deadline has passed.
bool ReadAll(UniqueFd& out, UniqueFd& err, absl::Time end, ProgramEnd* result) {
  while (out.valid() || err.valid()) {
    pollfd waited[] = {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}};
    const int64_t left = absl::ToInt64Milliseconds(end - absl::Now());
    if (left <= 0) return false;
    if (poll(waited, 2, static_cast<int>(left)) <= 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (waited[i].fd < 0 || waited[i].revents == 0) continue;
      char buffer[65536];
      const ssize_t length = read(waited[i].fd, buffer, sizeof(buffer));
      if (length > 0) {
        (i == 0 ? result->out : result->err)
            .append(buffer, static_cast<size_t>(length));
      } else if (length == 0 || errno != EINTR) {
        (i == 0 ? out : err).Reset();
      }
    }
  }
  return true;
}

}  // namespace

ProgramEnd RunProgram(const std::vector<std::string>& argv,
                      const std::map<std::string, std::string>& environment,
                      absl::Duration deadline) {
  ProgramEnd result;
  std::vector<std::string> words = argv;
  std::vector<std::string> variables = MakeEnvironment(environment);
  const std::vector<char*> word_pointers = Pointers(words);
  const std::vector<char*> variable_pointers = Pointers(variables);
  int out_pipe[2];
  int err_pipe[2];
  if (pipe2(out_pipe, O_CLOEXEC) != 0) return result;
  UniqueFd out(out_pipe[0]), out_write(out_pipe[1]);
  if (pipe2(err_pipe, O_CLOEXEC) != 0) return result;
  UniqueFd err(err_pipe[0]), err_write(err_pipe[1]);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return result;
  if (child == 0) {
    // Only async-signal-safe calls until exec: the test may have threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    dup2(out_write.get(), STDOUT_FILENO);
    dup2(err_write.get(), STDERR_FILENO);
    execve(word_pointers[0], word_pointers.data(), variable_pointers.data());
    _exit(127);
  }
  out_write.Reset();
  err_write.Reset();
  if (!ReadAll(out, err, absl::Now() + deadline, &result)) {
    kill(child, SIGKILL);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

RunningProgram::RunningProgram(
    const std::vector<std::string>& argv,
    const std::map<std::string, std::string>& environment) {
  std::vector<std::string> words = argv;
  std::vector<std::string> variables = MakeEnvironment(environment);
  const std::vector<char*> word_pointers = Pointers(words);
  const std::vector<char*> variable_pointers = Pointers(variables);
  // A socket, which can be written without SIGPIPE.
  int in_pair[2];
  int out_pipe[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in_pair) != 0) return;
  const UniqueFd in_read(in_pair[0]);
  in_.Reset(in_pair[1]);
  if (pipe2(out_pipe, O_CLOEXEC) != 0) return;
  out_.Reset(out_pipe[0]);
  const UniqueFd out_write(out_pipe[1]);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    // Only async-signal-safe calls until exec: the test may have threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    dup2(in_read.get(), STDIN_FILENO);
    dup2(out_write.get(), STDOUT_FILENO);
    execve(word_pointers[0], word_pointers.data(), variable_pointers.data());
    _exit(127);
  }
}

RunningProgram::RunningProgram(RunningProgram&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      read_ahead_(std::move(other.read_ahead_)) {}

std::string RunningProgram::ReadLine(absl::Duration deadline) {
  const absl::Time end = absl::Now() + deadline;
  while (true) {
    const size_t size = read_ahead_.find('\n');
    if (size != std::string::npos) {
      const std::string line = read_ahead_.substr(0, size);
      read_ahead_.erase(0, size + 1);
      return line;
    }
    pollfd ready = {out_.get(), POLLIN, 0};
    const absl::Duration left =
        std::max(end - absl::Now(), absl::ZeroDuration());
    if (poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left))) <=
        0) {
      return "";
    }
    char buffer[4096];
    const ssize_t count = read(out_.get(), buffer, sizeof(buffer));
    if (count <= 0) return "";
    read_ahead_.append(buffer, static_cast<size_t>(count));
  }
}

void RunningProgram::Write(const std::string& text) {
  // A program that has gone shows in the line that does not come.
  if (send(in_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
}

void RunningProgram::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace shmd::testing
