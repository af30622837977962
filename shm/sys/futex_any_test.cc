#include "shm/sys/futex_any.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "shm/sys/bell_pipe.h"
#include "shm/sys/futex.h"

namespace shmd::sys {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

TEST(FutexAnyTest, ReturnsAtOnceWhenAWordIsNotAsExpected) {
  const uint32_t words[] = {1, 2};
  EXPECT_TRUE(
      FutexWaitAny({{&words[0], 1}, {&words[1], 3}}, absl::InfiniteFuture()));
}

TEST(FutexAnyTest, KeepsItsDeadline) {
  const uint32_t word = 1;
  const absl::Time deadline = absl::Now() + absl::Milliseconds(10);
  EXPECT_FALSE(FutexWaitAny({{&word, 1}}, deadline));
  EXPECT_GE(absl::Now(), deadline);
  EXPECT_FALSE(FutexWaitAny({{&word, 1}}, absl::InfinitePast()));
}

TEST(FutexAnyTest, AnyWordWakes) {
  uint32_t words[3] = {};
  bool sleeps = true;
  std::thread waker([&] {
    // Until somebody slept there.
    while (__atomic_load_n(&sleeps, __ATOMIC_ACQUIRE)) {
      __atomic_store_n(&words[2], 1, __ATOMIC_RELEASE);
      FutexWakeAll(&words[2]);
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(
      FutexWaitAny({{&words[0], 0}, {&words[1], 0}, {&words[2], 0}}, Soon()));
  __atomic_store_n(&sleeps, false, __ATOMIC_RELEASE);
  waker.join();
}

TEST(FutexAnyTest, TooManyWordsAreWaitedForInSlices) {
  const uint32_t word = 1;
  const std::vector<FutexWord> many(kMaxFutexWords + 1, FutexWord{&word, 1});
  EXPECT_TRUE(FutexWaitAny(many, Soon()));
  EXPECT_TRUE(FutexWaitAny({}, Soon()));
  EXPECT_FALSE(FutexWaitAny(many, absl::InfinitePast()));
}

TEST(FutexAnyTest, WorksWithoutTheCall) {
  const uint32_t word = 1;
  EXPECT_TRUE(FutexWaitAnyInSlices({{&word, 2}}, Soon()));
  EXPECT_TRUE(FutexWaitAnyInSlices({{&word, 1}}, Soon()));
  EXPECT_FALSE(FutexWaitAnyInSlices({{&word, 1}}, absl::InfinitePast()));
}

// From here on the call is answered so.
void AnswerFutexWaitv(uint32_t answer) {
  constexpr uint32_t kSysFutexWaitv = 449;
  sock_filter program[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kSysFutexWaitv},
      {BPF_RET | BPF_K, 0, 0, answer},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(3);
  }
}

// Whether a process makes the call again after it has failed so.
bool IsMadeAgainAfter(uint32_t error) {
  const pid_t child = fork();
  if (child == 0) {
    const uint32_t word = 1;
    AnswerFutexWaitv(SECCOMP_RET_ERRNO | error);
    const bool is_told = FutexWaitAny({{&word, 1}}, absl::InfinitePast());
    AnswerFutexWaitv(SECCOMP_RET_KILL_PROCESS);
    _exit(is_told || FutexWaitAny({{&word, 1}}, absl::InfinitePast()) ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

TEST(FutexAnyTest, OnlyWhereThereIsNoSuchCallItIsNotMadeAgain) {
  EXPECT_FALSE(IsMadeAgainAfter(ENOSYS));
  EXPECT_FALSE(IsMadeAgainAfter(EPERM));
  EXPECT_TRUE(IsMadeAgainAfter(ENOMEM));
  EXPECT_TRUE(IsMadeAgainAfter(EINVAL));
}

bool IsReadable(int fd) {
  pollfd poll_for = {fd, POLLIN, 0};
  return poll(&poll_for, 1, 0) == 1;
}

TEST(BellPipeTest, RingsUntilItIsDrained) {
  BellPipe bell = *CreateBellPipe();
  EXPECT_FALSE(IsReadable(bell.read_end.get()));
  // More often than a pipe has room for.
  for (int i = 0; i < 70000; ++i) RingBellPipe(bell.write_end.get());
  EXPECT_TRUE(IsReadable(bell.read_end.get()));
  DrainBellPipe(bell.read_end.get());
  EXPECT_FALSE(IsReadable(bell.read_end.get()));
}

TEST(BellPipeTest, RaisesNoSignalWhenNobodyListens) {
  BellPipe bell = *CreateBellPipe();
  bell.read_end.Reset();
  // SIGPIPE would end this process.
  RingBellPipe(bell.write_end.get());
  RingBellPipe(bell.write_end.get());
}

}  // namespace
}  // namespace shmd::sys
