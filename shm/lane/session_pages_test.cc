#include "shm/lane/session_pages.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "shm/lane/session_lane.h"

namespace shmd {
namespace {

SessionPages Create() {
  absl::StatusOr<SessionPages> pages = SessionPages::Create();
  EXPECT_TRUE(pages.ok()) << pages.status();
  return *std::move(pages);
}

SessionDescriptors Received(const SessionPages& pages) {
  const SessionDescriptors& own = pages.descriptors();
  SessionDescriptors received;
  received.session = UniqueFd(dup(own.session.get()));
  received.answers = *pages.ProgramAnswers();
  received.doorbell = UniqueFd(dup(own.doorbell.get()));
  return received;
}

TEST(SessionPagesTest, EachSideWritesOnlyItsOwn) {
  const SessionPages daemon = Create();
  const SessionDescriptors received = Received(daemon);
  EXPECT_EQ(mmap(nullptr, sizeof(layout::AnswersPage), PROT_WRITE, MAP_SHARED,
                 received.answers.get(), 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  const auto program = MappedSessionPages::Map(Received(daemon));
  ASSERT_TRUE(program.ok()) << program.status();
  program->session()->header.submitted = 77;
  EXPECT_EQ(daemon.session()->header.submitted, 77u);
  daemon.answers()->header.taken = 78;
  EXPECT_EQ(program->answers()->header.taken, 78u);
  // The daemon cannot even by accident.
  const pid_t child = fork();
  if (child == 0) {
    const_cast<layout::SessionPage*>(daemon.session())->header.magic = 0;
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(SessionPagesTest, NobodyCanChangeSizeOrSeals) {
  const SessionPages daemon = Create();
  const SessionDescriptors received = Received(daemon);
  for (const int fd : {received.session.get(), received.answers.get()}) {
    EXPECT_NE(ftruncate(fd, 4096), 0);
    EXPECT_NE(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_NE(ftruncate(received.session.get(), 1 << 20), 0);
}

TEST(SessionPagesTest, MapRefusesWhatIsNoPage) {
  const SessionPages daemon = Create();
  SessionDescriptors swapped = Received(daemon);
  std::swap(swapped.session, swapped.answers);
  EXPECT_EQ(
      GetErrorReason(MappedSessionPages::Map(std::move(swapped)).status()),
      reason::kObjectUnsuitable);

  SessionDescriptors unsealed = Received(daemon);
  unsealed.session =
      UniqueFd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.session.get(), sizeof(layout::SessionPage)), 0);
  EXPECT_EQ(
      GetErrorReason(MappedSessionPages::Map(std::move(unsealed)).status()),
      reason::kObjectUnsuitable);

  SessionDescriptors read_only = Received(daemon);
  read_only.session = UniqueFd(
      open(("/proc/self/fd/" + std::to_string(read_only.session.get())).c_str(),
           O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(
      GetErrorReason(MappedSessionPages::Map(std::move(read_only)).status()),
      reason::kCallerNotAllowed);
}

TEST(SessionPagesTest, MapRefusesAnotherVersion) {
  const SessionPages daemon = Create();
  daemon.answers()->header.version = layout::kSessionVersion + 1;
  EXPECT_EQ(GetErrorReason(MappedSessionPages::Map(Received(daemon)).status()),
            reason::kObjectUnsuitable);
}

TEST(SessionPagesTest, TakeUpNeedsNothingOfTheProgramsPage) {
  SessionDescriptors kept;
  {
    const SessionPages daemon = Create();
    const auto program = MappedSessionPages::Map(Received(daemon));
    ASSERT_TRUE(program.ok());
    program->session()->header.magic = 0;
    program->session()->header.version = 99;
    daemon.answers()->header.taken = 5;
    kept.session = UniqueFd(dup(daemon.descriptors().session.get()));
    kept.answers = UniqueFd(dup(daemon.descriptors().answers.get()));
    kept.doorbell = UniqueFd(dup(daemon.descriptors().doorbell.get()));
  }
  const auto taken_up = SessionPages::TakeUp(std::move(kept));
  ASSERT_TRUE(taken_up.ok()) << taken_up.status();
  EXPECT_EQ(taken_up->answers()->header.taken, 5u);
}

TEST(SessionPagesTest, EveryRingOfTheBellIsAnEdgeThoughNobodyReadsIt) {
  const SessionPages daemon = Create();
  const auto program = MappedSessionPages::Map(Received(daemon));
  ASSERT_TRUE(program.ok());
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted = {};
  wanted.events = EPOLLIN | EPOLLET;
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, daemon.doorbell(), &wanted),
            0);
  epoll_event got = {};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(epoll_wait(epoll.get(), &got, 1, 0), 0);
    ASSERT_TRUE(program->RingDoorbell().ok());
    EXPECT_EQ(epoll_wait(epoll.get(), &got, 1, 0), 1);
  }
}

// The futex is on a page that the sleeper has mapped read-only, and the waker
// at another address.
TEST(SessionPagesTest, ProgramSleepsOnAReadOnlyPageAndIsWoken) {
  const SessionPages daemon = Create();
  const auto program = MappedSessionPages::Map(Received(daemon));
  ASSERT_TRUE(program.ok());
  SessionLane lane(daemon.session(), daemon.answers());
  lane.Publish();
  const pid_t child = fork();
  if (child == 0) {
    AnswerConsumer consumer(program->answers(), program->session());
    const bool got = consumer.Wait(absl::InfiniteFuture());
    layout::Answer answer = {};
    _exit(got && consumer.Poll(absl::MakeSpan(&answer, 1)) == 1 ? 0 : 1);
  }
  while (layout::HostMemory::Load(&daemon.session()->header.waiting,
                                  std::memory_order_acquire) == 0) {
    sched_yield();
  }
  lane.Freed({});
  EXPECT_TRUE(lane.Publish());
  daemon.WakeProgram();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace shmd
