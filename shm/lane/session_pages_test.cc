#include "shm/lane/session_pages.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "shm/lane/session_lane.h"

namespace shmd {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

UniqueFd MakePage(size_t size_bytes, int seals = kSeals) {
  UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size_bytes)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

UniqueFd ReadOnly(const UniqueFd& fd) {
  return UniqueFd(open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(),
                       O_RDONLY | O_CLOEXEC));
}

class SessionPagesTest : public testing::Test {
 protected:
  void SetUp() override {
    session_ = MakePage(sizeof(layout::SessionPage));
    answers_ = MakePage(sizeof(layout::AnswersPage));
    programs_answers_ = ReadOnly(answers_);
    daemon_ = Open();
  }

  SessionPages Open() const {
    absl::StatusOr<SessionPages> pages =
        SessionPages::Open(session_.get(), answers_.get());
    EXPECT_TRUE(pages.ok()) << pages.status();
    return *std::move(pages);
  }
  absl::StatusOr<MappedSessionPages> Map() const {
    return MappedSessionPages::Map(session_.get(), programs_answers_.get());
  }
  static std::string ReasonOfMap(int session_fd, int answers_fd) {
    return GetErrorReason(
        MappedSessionPages::Map(session_fd, answers_fd).status());
  }

  UniqueFd session_;
  UniqueFd answers_;
  UniqueFd programs_answers_;
  SessionPages daemon_;
};

TEST_F(SessionPagesTest, EachSideWritesOnlyItsOwn) {
  EXPECT_EQ(mmap(nullptr, sizeof(layout::AnswersPage), PROT_WRITE, MAP_SHARED,
                 programs_answers_.get(), 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  const auto program = Map();
  ASSERT_TRUE(program.ok()) << program.status();
  program->session()->header.submitted = 77;
  EXPECT_EQ(daemon_.session()->header.submitted, 77u);
  daemon_.answers()->header.taken = 78;
  EXPECT_EQ(program->answers()->header.taken, 78u);
  // The daemon cannot even by accident.
  const pid_t child = fork();
  if (child == 0) {
    const_cast<layout::SessionPage*>(daemon_.session())->header.magic = 0;
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(SessionPagesTest, MapRefusesWhatIsNoPage) {
  EXPECT_EQ(ReasonOfMap(programs_answers_.get(), session_.get()),
            reason::kObjectUnsuitable);
  const UniqueFd unsealed =
      MakePage(sizeof(layout::SessionPage), F_SEAL_SHRINK);
  EXPECT_EQ(ReasonOfMap(unsealed.get(), programs_answers_.get()),
            reason::kObjectUnsuitable);
  const UniqueFd read_only = ReadOnly(session_);
  EXPECT_EQ(ReasonOfMap(read_only.get(), programs_answers_.get()),
            reason::kCallerNotAllowed);
}

TEST_F(SessionPagesTest, MapRefusesAnotherVersion) {
  daemon_.answers()->header.version = layout::kSessionVersion + 1;
  EXPECT_EQ(GetErrorReason(Map().status()), reason::kObjectUnsuitable);
}

TEST_F(SessionPagesTest, MapRefusesPagesThatAreNotReady) {
  const UniqueFd session = MakePage(sizeof(layout::SessionPage));
  const UniqueFd answers = MakePage(sizeof(layout::AnswersPage));
  EXPECT_EQ(ReasonOfMap(session.get(), ReadOnly(answers).get()),
            reason::kObjectUnsuitable);
}

TEST_F(SessionPagesTest, OpenNeedsNothingOfTheProgramsPage) {
  const auto program = Map();
  ASSERT_TRUE(program.ok());
  program->session()->header.magic = 0;
  program->session()->header.version = 99;
  daemon_.answers()->header.taken = 5;
  daemon_ = SessionPages();
  EXPECT_EQ(Open().answers()->header.taken, 5u);
}

// The futex is on a page that the sleeper has mapped read-only, and the waker
// at another address.
TEST_F(SessionPagesTest, ProgramSleepsOnAReadOnlyPageAndIsWoken) {
  const auto program = Map();
  ASSERT_TRUE(program.ok());
  SessionLane lane(daemon_.session(), daemon_.answers());
  lane.Publish();
  const pid_t child = fork();
  if (child == 0) {
    AnswerConsumer consumer(program->answers(), program->session());
    const bool got = consumer.Wait(absl::InfiniteFuture());
    layout::Answer answer = {};
    _exit(got && consumer.Poll(absl::MakeSpan(&answer, 1)) == 1 ? 0 : 1);
  }
  while (layout::HostMemory::Load(&daemon_.session()->header.waiting,
                                  std::memory_order_acquire) == 0) {
    sched_yield();
  }
  lane.Freed({});
  EXPECT_TRUE(lane.Publish());
  daemon_.WakeProgram();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace shmd
