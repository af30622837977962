// Two processes at the ends of a session's rings, one of which is killed after
// each store that it makes.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "shm/lane/dying_child.h"
#include "shm/lane/dying_memory.h"
#include "shm/lane/session_lane.h"
#include "shm/lane/session_pages.h"
#include "tests/testing/made_pages.h"

namespace shmd {
namespace {

using layout::Answer;
using layout::Submission;

constexpr uint64_t kCookies = 5;

Submission Numbered(uint64_t cookie) {
  Submission submission = {};
  submission.cookie = cookie;
  submission.reserved = ~cookie;
  return submission;
}

Answer Done(uint64_t cookie) {
  Answer answer = {};
  answer.kind = static_cast<uint32_t>(layout::AnswerKind::kDone);
  answer.cookie = cookie;
  answer.value = ~cookie;
  return answer;
}

// Submits all, and reads all answers.
template <typename Memory>
void RunProgram(const MappedSessionPages& pages) {
  BasicSubmissionProducer<Memory> producer(pages.session(), pages.answers());
  BasicAnswerConsumer<Memory> consumer(pages.answers(), pages.session());
  for (uint64_t cookie = 1; cookie <= kCookies; ++cookie) {
    producer.Submit(Numbered(cookie));
    producer.NeedsDoorbell();
    Answer answer;
    while (consumer.Poll(absl::MakeSpan(&answer, 1)) == 0) {
      consumer.Wait(absl::InfiniteFuture());
    }
    producer.Answered();
  }
}

// Answers what is there, checking it; how many.
template <typename Lane>
size_t ServeOnce(Lane& lane, const SessionPages& pages) {
  std::vector<Submission> taken(3);
  const TakeResult took = lane.Take(absl::MakeSpan(taken));
  EXPECT_FALSE(took.broke);
  for (size_t i = 0; i < took.count; ++i) {
    EXPECT_EQ(taken[i].reserved, ~taken[i].cookie);
    EXPECT_TRUE(lane.Done(Done(taken[i].cookie)));
  }
  if (lane.Publish()) pages.WakeProgram();
  return took.count;
}

TEST(LaneCrashTest, ProgramDiesAfterEachOfItsStores) {
  bool all_made = false;
  uint64_t stores = 1;
  for (; !all_made && !testing::Test::HasFailure(); ++stores) {
    const MadePages made;
    const MadePages other_made;
    const SessionPages* const pages = &made.daemon();
    const SessionPages* const other = &other_made.daemon();
    const MappedSessionPages mapped = made.Map();
    const MappedSessionPages other_mapped = other_made.Map();
    SubmissionProducer other_producer(other_mapped.session(),
                                      other_mapped.answers());
    Child program(stores, [&] { RunProgram<DyingMemory>(mapped); });
    SessionLane lane(pages->session(), pages->answers());
    SessionLane other_lane(other->session(), other->answers());
    uint64_t taken = 0, other_taken = 0;
    for (bool last = false; !last;) {
      last = program.HasEnded();
      taken += ServeOnce(lane, *pages);
      ASSERT_TRUE(other_producer.Submit(Numbered(other_taken)));
      other_producer.Answered();
      other_taken += ServeOnce(other_lane, *other);
      // Nobody reads its answers; all of them stand for one.
      layout::HostMemory::Store(&other_mapped.session()->header.answers_read,
                                other_taken, std::memory_order_release);
    }
    // What it had made is taken, and no more; nothing holds the daemon up.
    EXPECT_EQ(taken, mapped.session()->header.submitted);
    EXPECT_FALSE(lane.HasWork());
    EXPECT_GT(other_taken, 0u);
    all_made = program.EndedWell();
    EXPECT_TRUE(all_made || program.WasKilled());
    EXPECT_TRUE(!all_made || taken == kCookies);
  }
  EXPECT_GT(stores, kCookies * sizeof(Submission) / sizeof(uint64_t));
}

// A program that outlives the daemon: makes again what was lost.
class Survivor {
 public:
  explicit Survivor(const MappedSessionPages& pages)
      : producer_(pages.session(), pages.answers()),
        consumer_(pages.answers(), pages.session()) {}

  void SubmitAll() {
    for (uint64_t cookie = 1; cookie <= kCookies; ++cookie) Submit(cookie);
  }

  void PollAll() {
    Answer answer;
    while (consumer_.Poll(absl::MakeSpan(&answer, 1)) == 1) {
      EXPECT_EQ(answer.value, ~answer.cookie);
      EXPECT_EQ(positions_.erase(answer.cookie), 1u);
      producer_.Answered();
    }
    EXPECT_FALSE(consumer_.broken());
  }

  void Recover() {
    const uint64_t lost_before = consumer_.LostBefore();
    PollAll();
    const std::map<uint64_t, uint64_t> unanswered = positions_;
    for (const auto& [cookie, position] : unanswered) {
      if (position >= lost_before) continue;
      producer_.Answered();
      Submit(cookie);
    }
  }

  bool AllAnswered() const { return positions_.empty(); }

 private:
  void Submit(uint64_t cookie) {
    positions_[cookie] = producer_.position();
    ASSERT_TRUE(producer_.Submit(Numbered(cookie)));
  }

  SubmissionProducer producer_;
  AnswerConsumer consumer_;
  std::map<uint64_t, uint64_t> positions_;
};

TEST(LaneCrashTest, DaemonDiesAfterEachOfItsStores) {
  bool all_made = false;
  uint64_t stores = 1;
  for (; !all_made && !testing::Test::HasFailure(); ++stores) {
    const MadePages made;
    const SessionPages* const pages = &made.daemon();
    const MappedSessionPages mapped = made.Map();
    Survivor survivor(mapped);
    survivor.SubmitAll();
    Child daemon(stores, [&] {
      BasicSessionLane<DyingMemory> lane(pages->session(), pages->answers());
      lane.Arm();
      for (uint64_t served = 0; served < kCookies;) {
        served += ServeOnce(lane, *pages);
      }
      lane.Disarm();
    });
    while (!daemon.HasEnded()) survivor.PollAll();
    all_made = daemon.EndedWell();
    EXPECT_TRUE(all_made || daemon.WasKilled());
    // The next run.
    const SessionPages taken_up = made.Open();
    SessionLane lane(taken_up.session(), taken_up.answers());
    survivor.Recover();
    while (ServeOnce(lane, taken_up) > 0) {
    }
    survivor.PollAll();
    EXPECT_TRUE(survivor.AllAnswered()) << "after store " << stores;
  }
  EXPECT_GT(stores, kCookies * sizeof(Answer) / sizeof(uint64_t));
}

// A program that sleeps while the daemon dies is woken by the next run.
TEST(LaneCrashTest, SleeperIsWokenByTheNextRun) {
  const MadePages made;
  const SessionPages* const pages = &made.daemon();
  const MappedSessionPages mapped = made.Map();
  SessionLane lane(pages->session(), pages->answers());
  lane.Publish();
  Child program(0, [&] { RunProgram<layout::HostMemory>(mapped); });
  while (layout::HostMemory::Load(&pages->session()->header.waiting,
                                  std::memory_order_acquire) == 0) {
    sched_yield();
  }
  Submission submission;
  ASSERT_EQ(lane.Take(absl::MakeSpan(&submission, 1)).count, 1u);
  ASSERT_TRUE(lane.Done(Done(submission.cookie)));
  // It has published, and dies before it wakes anybody.
  ASSERT_TRUE(lane.Publish());
  const SessionPages taken_up = made.Open();
  SessionLane next(taken_up.session(), taken_up.answers());
  uint64_t served = 1;
  while (!program.HasEnded()) served += ServeOnce(next, taken_up);
  EXPECT_TRUE(program.EndedWell());
  EXPECT_EQ(served, kCookies);
}

}  // namespace
}  // namespace shmd
