#ifndef SHMD_TESTS_TESTING_FORKED_CHILD_H_
#define SHMD_TESTS_TESTING_FORKED_CHILD_H_

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>

#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace shmd::testing {

inline constexpr absl::Duration kChildPatience = absl::Seconds(60);

inline ptrdiff_t ThreadsOfThisProcess() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       std::filesystem::directory_iterator());
}

// A byte to whoever is at the other end of a pipe, and from it; false when that
// has ended.
inline bool Say(int to) { return write(to, "x", 1) == 1; }
inline bool Hear(int from) {
  char byte;
  return read(from, &byte, 1) == 1;
}

// A process that a test forks before it makes clients, and kills at the latest
// at its end. Nobody in the process may have made one before, in another test
// either: parent and child would share what gRPC polls, and now and then a
// reply would be lost. Targets whose tests fork run each of them by itself
// (shard_count).
class Child {
 public:
  explicit Child(const std::function<int(int say, int hear)>& run) {
    EXPECT_EQ(ThreadsOfThisProcess(), 1) << "gRPC was used: see above";
    int up[2];
    int down[2];
    EXPECT_EQ(pipe2(up, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(down, O_CLOEXEC), 0);
    said_.Reset(up[0]);
    tell_.Reset(down[1]);
    const UniqueFd say(up[1]);
    const UniqueFd hear(down[0]);
    pid_ = fork();
    if (pid_ == 0) _exit(run(say.get(), hear.get()));
  }
  ~Child() { Kill(); }

  void Tell() { EXPECT_TRUE(Say(tell_.get())); }

  // Until it has said something; false when it has ended before.
  bool Await() {
    pollfd readable = {said_.get(), POLLIN, 0};
    return poll(&readable, 1,
                static_cast<int>(absl::ToInt64Milliseconds(kChildPatience))) ==
               1 &&
           Hear(said_.get());
  }
  // Its exit code.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd said_;
  UniqueFd tell_;
};

}  // namespace shmd::testing

#endif  // SHMD_TESTS_TESTING_FORKED_CHILD_H_
