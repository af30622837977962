#ifndef SHMD_SHM_LANE_DYING_CHILD_H_
#define SHMD_SHM_LANE_DYING_CHILD_H_

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <functional>

#include "gtest/gtest.h"
#include "shm/lane/dying_memory.h"

namespace shmd {

// For tests: a process that dies after so many stores, 0 for never.
class Child {
 public:
  Child(uint64_t stores, const std::function<void()>& run) : pid_(fork()) {
    if (pid_ != 0) return;
    DyingMemory::stores_left = stores;
    run();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  Child(const Child&) = delete;
  ~Child() {
    if (!has_ended_) Kill();
  }

  void Kill() {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status_, 0);
    has_ended_ = true;
  }

  // False while it runs.
  bool HasEnded() {
    if (!has_ended_) has_ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
    return has_ended_;
  }
  // It made all its stores.
  bool EndedWell() const { return status_ == 0; }
  bool WasKilled() const {
    return WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL;
  }

 private:
  pid_t pid_;
  int status_ = 0;
  bool has_ended_ = false;
};

}  // namespace shmd

#endif  // SHMD_SHM_LANE_DYING_CHILD_H_
