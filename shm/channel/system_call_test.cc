// Who publishes and who reads make no system call while both are awake: they
// run where the kernel kills who makes one.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;

// From here on only exit_group(2) is allowed.
void ForbidSystemCalls() {
  sock_filter program[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_exit_group},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
  };
  const sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(3);
  }
}

constexpr int kFine = 42;
constexpr int kWrong = 43;

int StatusOf(const std::function<bool()>& run) {
  const pid_t child = fork();
  if (child == 0) {
    ForbidSystemCalls();
    const bool good = run();
    syscall(SYS_exit_group, good ? kFine : kWrong);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

bool EndedWith(int status, int code) {
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

// Round after round, far enough to use every slot and place again.
int StatusOfRounds(ChannelKind kind, size_t size_bytes) {
  ChannelFields fields;
  fields.kind = kind;
  fields.slots = 16;
  fields.payload_bytes = 1 << 20;
  MadeChannel channel(fields);
  auto subscriber =
      MadeChannel::Checked(RingSubscriber::Open(channel.AddSubscriber()));
  auto publisher =
      MadeChannel::Checked(RingPublisher::Open(channel.AddPublisher()));
  if (!subscriber->Check().ok()) return -1;
  const std::string payload(size_bytes, 'x');
  const auto round = [&] {
    // As who waits calls it, and has not to.
    const absl::Time deadline = absl::InfiniteFuture();
    if (!publisher->Publish(payload, {}, deadline).ok()) return false;
    auto got = subscriber->Receive(deadline);
    if (!got.ok() || got->size_bytes() != payload.size()) return false;
    if (kind == ChannelKind::kQueue) return got->Acknowledge().ok();
    return true;
  };
  // The allocator of the C library has what it needs then.
  for (int i = 0; i < 100; ++i) {
    if (!round()) return -1;
  }
  return StatusOf([&] {
    for (int i = 0; i < 10000; ++i) {
      if (!round()) return false;
    }
    return true;
  });
}

TEST(SystemCallTest, NoneForSmallMessages) {
  EXPECT_TRUE(EndedWith(StatusOfRounds(ChannelKind::kPublish, 64), kFine));
}

TEST(SystemCallTest, NoneForLargeMessages) {
  EXPECT_TRUE(EndedWith(StatusOfRounds(ChannelKind::kPublish, 300000), kFine));
}

TEST(SystemCallTest, NoneForQueues) {
  EXPECT_TRUE(EndedWith(StatusOfRounds(ChannelKind::kQueue, 64), kFine));
}

TEST(SystemCallTest, WhoMakesOneIsFoundOut) {
  EXPECT_FALSE(EndedWith(StatusOf([] { return getppid() != 0; }), kFine));
}

}  // namespace
}  // namespace shmd
