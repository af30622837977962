#include "tests/testing/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

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

}  // namespace shmd::testing
