// A program that writes anything anywhere into its own page, and one that does
// not: the daemon survives the first, drops it when it must, and goes on
// serving the second. SHMD_SCRIBBLE_FLIPS says how many bits are flipped.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "shm/lane/session_lane.h"
#include "shm/lane/session_pages.h"
#include "tests/testing/made_pages.h"

namespace shmd {
namespace {

using layout::Answer;
using layout::HostMemory;
using layout::Submission;

constexpr uint64_t kOrdinaryFlips = 10000000;

uint64_t WantedFlips() {
  const char* const wanted = std::getenv("SHMD_SCRIBBLE_FLIPS");
  uint64_t flips = 0;
  return wanted != nullptr && absl::SimpleAtoi(wanted, &flips) ? flips
                                                               : kOrdinaryFlips;
}

// Flips bits, most of them where it hurts: of the counters, and low ones.
void Scribble(layout::SessionPage* page, uint64_t flips, uint64_t seed) {
  std::mt19937_64 random(seed);
  uint64_t* const words = reinterpret_cast<uint64_t*>(page);
  constexpr size_t kWords = sizeof(layout::SessionPage) / sizeof(uint64_t);
  uint64_t* const counters[] = {
      &page->header.submitted, &page->header.answers_read,
      &page->header.pins_used, &page->header.recent_count, words + 1};
  for (uint64_t i = 0; i < flips; ++i) {
    const uint64_t dice = random();
    const bool counter = dice % 4 == 0;
    uint64_t* const word =
        counter ? counters[(dice >> 2) % 5] : words + (dice >> 8) % kWords;
    const uint64_t bit =
        (dice >> 2) % 8 != 0 ? (dice >> 50) % 4 : (dice >> 50) % 64;
    __atomic_fetch_xor(word, uint64_t{1} << bit, __ATOMIC_RELAXED);
  }
}

class HonestProgram {
 public:
  HonestProgram()
      : page_(std::make_unique<layout::SessionPage>()),
        producer_(page_.get(), pages_.daemon().answers()),
        consumer_(pages_.daemon().answers(), page_.get()),
        lane_(page_.get(), pages_.daemon().answers()) {}

  // One round trip, both ends of it.
  void RoundTrip() {
    Submission made = {};
    made.cookie = ++trips_;
    made.reserved = ~trips_;
    ASSERT_TRUE(producer_.Submit(made));
    Submission taken;
    ASSERT_EQ(lane_.Take(absl::MakeSpan(&taken, 1)).count, 1u);
    ASSERT_EQ(taken.cookie, trips_);
    ASSERT_EQ(taken.reserved, ~trips_);
    Answer answer = {};
    answer.cookie = taken.cookie;
    ASSERT_TRUE(lane_.Done(answer));
    lane_.Publish();
    Answer got;
    ASSERT_EQ(consumer_.Poll(absl::MakeSpan(&got, 1)), 1u);
    ASSERT_EQ(got.cookie, trips_);
    producer_.Answered();
  }

  uint64_t trips() const { return trips_; }

 private:
  MadePages pages_;
  std::unique_ptr<layout::SessionPage> page_;
  SubmissionProducer producer_;
  AnswerConsumer consumer_;
  SessionLane lane_;
  uint64_t trips_ = 0;
};

struct Served {
  uint64_t taken = 0;
  uint64_t broke = 0;
  uint64_t looks = 0;
};

// One look at the hostile session, as the daemon has it. True when the session
// has to end.
bool LookOnce(SessionLane& lane, std::vector<Submission>& out, Served& served) {
  ++served.looks;
  const TakeResult took = lane.Take(absl::MakeSpan(out));
  EXPECT_LE(took.count, out.size());
  served.taken += took.count;
  for (size_t i = 0; i < took.count; ++i) {
    Answer answer = {};
    answer.cookie = out[i].cookie;
    EXPECT_TRUE(lane.Done(answer) || lane.broken());
  }
  // Kept back for who does not read: as many as it has objects, no more.
  if (lane.kept_back() < 100) lane.Freed({});
  lane.Publish();
  lane.HasWork();
  return took.broke || lane.broken();
}

TEST(ScribbleTest, DaemonAndOthersGoOnWhateverAProgramWrites) {
  const MadePages made;
  const SessionPages* const pages = &made.daemon();
  const MappedSessionPages hostile = made.Map();

  const pid_t child = fork();
  if (child == 0) {
    Scribble(hostile.session(), WantedFlips(), 20261122);
    _exit(0);
  }
  HonestProgram honest;
  Served served;
  std::vector<Submission> out(64);
  auto lane = std::make_unique<SessionLane>(pages->session(), pages->answers());
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    for (int i = 0; i < 256; ++i) {
      if (LookOnce(*lane, out, served)) {
        ++served.broke;
        // The session ends, and the program comes back at once with a page
        // that starts out right.
        layout::AnswersPage* const answers = pages->answers();
        const uint64_t submitted = HostMemory::Load(
            &pages->session()->header.submitted, std::memory_order_relaxed);
        HostMemory::Store(&answers->header.taken, submitted,
                          std::memory_order_relaxed);
        const uint64_t read = HostMemory::Load(
            &pages->session()->header.answers_read, std::memory_order_relaxed);
        HostMemory::Store(&answers->header.produced, read,
                          std::memory_order_relaxed);
        lane = std::make_unique<SessionLane>(pages->session(), answers);
      }
      honest.RoundTrip();
      if (HasFatalFailure()) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return;
      }
    }
  }
  EXPECT_EQ(status, 0);
  // It was there: rings were broken, and rings that were not gave something.
  EXPECT_GT(served.taken, 0u);
  EXPECT_GT(served.broke, 0u);
  EXPECT_EQ(honest.trips(), served.looks);
  RecordProperty("looks", static_cast<int>(served.looks));
  RecordProperty("broke", static_cast<int>(served.broke));
}

}  // namespace
}  // namespace shmd
