#ifndef SHMD_TESTS_TESTING_PROGRAM_H_
#define SHMD_TESTS_TESTING_PROGRAM_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

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

}  // namespace shmd::testing

#endif  // SHMD_TESTS_TESTING_PROGRAM_H_
