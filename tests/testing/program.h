#ifndef SHMD_TESTS_TESTING_PROGRAM_H_
#define SHMD_TESTS_TESTING_PROGRAM_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace shmd::testing {

// How a program has ended, and what it wrote.
struct ProgramEnd {
  int exit_code = -1;  // 128 + n when signal n ended it; -1: never started
  std::string out;
  std::string err;
};

// Runs a program to its end, with `environment` on top of the test's own.
// Killed, with exit code 137, once it takes longer than `deadline`; dies with
// the calling thread. `argv[0]` is a path, for example of Runfile().
ProgramEnd RunProgram(const std::vector<std::string>& argv,
                      const std::map<std::string, std::string>& environment,
                      absl::Duration deadline = absl::Seconds(120));

// A program that a test talks with, line by line, over its standard input and
// output; standard error is the test's. Killed at the end of the object, and
// dies with the thread that started it. Not thread-safe.
class RunningProgram {
 public:
  // As RunProgram. What cannot be started ends at once, without a line.
  RunningProgram(const std::vector<std::string>& argv,
                 const std::map<std::string, std::string>& environment);
  RunningProgram(RunningProgram&& other) noexcept;
  ~RunningProgram() { Kill(); }

  // The next line, without its end; empty when there is none in time.
  std::string ReadLine(absl::Duration deadline);
  void Write(const std::string& text);
  // SIGKILL, then waits.
  void Kill();

 private:
  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
  std::string read_ahead_;
};

}  // namespace shmd::testing

#endif  // SHMD_TESTS_TESTING_PROGRAM_H_
