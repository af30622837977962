// The rings of a session under Relacy: a program and the daemon's thread in
// all orders that the C++ memory model allows, drawn at random. What is said
// after a fault was found is how to repeat it.

#include <cstdint>
#include <iostream>
#include <map>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "shm/lane/session_lane.h"
#include "tests/model/lane_memory.h"
#include "tests/testing/effort.h"

namespace shmd::model {
namespace {

using Producer =
    BasicSubmissionProducer<Memory, SmallSessionPage, SmallAnswersPage>;
using Consumer =
    BasicAnswerConsumer<Memory, Sleep, SmallSessionPage, SmallAnswersPage>;
using Lane = BasicSessionLane<Memory, SmallSessionPage, SmallAnswersPage>;

constexpr uint64_t kFirstFreed = 100;

// What one test is about; Relacy makes the suites itself.
struct Scenario {
  Bug bug = Bug::kNone;
  int victim = -1;  // kProgram or kDaemon: dies after some store
  uint64_t submissions = 3;
  uint64_t freed = 0;
};
Scenario scenario;

constexpr int kProgram = 0;
constexpr int kDaemon = 1;
// More stores than either makes, so that it sometimes lives.
constexpr unsigned kMostStores = 40;

struct LaneSuite : Model<2> {
  World world;
  bool finished = false;  // the program's socket is closed
  uint64_t taken = 0;     // the last cookie, where nobody resubmits
  uint64_t freed_sent = 0;

  void before() override {
    for (auto& cell : world.cells) cell($).store(0, rl::mo_relaxed);
    world.bug = scenario.bug;
    world.victim = scenario.victim;
    world.stores_left = 1 + static_cast<int>(rl::rand(kMostStores));
    Sleep::seen_run = 0;
  }

  void thread(unsigned index) override {
    try {
      if (index == kProgram) {
        RunProgram();
      } else {
        RunDaemon();
      }
    } catch (const Died&) {
      if (index == kDaemon) {
        world.victim = -1;
        RestartDaemon();
      }
    }
    if (index == kProgram) Finish();
  }

  // What the kernel does when a program ends.
  void Finish() {
    world.kernel.lock($);
    finished = true;
    world.rung = true;
    world.bell.notify_all($);
    world.kernel.unlock($);
  }

  void Ring() {
    world.kernel.lock($);
    world.rung = true;
    world.bell.notify_all($);
    world.kernel.unlock($);
  }

  // True when the program has ended.
  bool AwaitBell() {
    world.kernel.lock($);
    while (!world.rung) world.bell.wait(world.kernel, $);
    world.rung = false;
    world.kernel.unlock($);
    return finished;
  }

  struct Program {
    Producer producer{&World::session_page, &World::answers_page};
    Consumer consumer{&World::answers_page, &World::session_page};
    std::vector<uint64_t> to_submit;
    std::map<uint64_t, uint64_t> positions;  // of what is unanswered
    uint64_t answered = 0;
    uint64_t freed = 0;
  };

  void RunProgram() {
    Program program;
    for (uint64_t i = scenario.submissions; i > 0; --i) {
      program.to_submit.push_back(i);
    }
    while (program.answered < scenario.submissions ||
           program.freed < scenario.freed) {
      SubmitAll(program);
      if (PollOnce(program)) continue;
      if (Reconnected()) {
        Recover(program);
      } else {
        program.consumer.Wait(absl::InfiniteFuture());
      }
    }
  }

  void SubmitAll(Program& program) {
    bool any = false;
    while (!program.to_submit.empty()) {
      const uint64_t cookie = program.to_submit.back();
      const uint64_t position = program.producer.position();
      if (!program.producer.Submit({cookie, ~cookie})) break;
      // It counts what is unanswered, too, so two things must be wrong.
      if (world.bug == Bug::kRingIsNeverFull) program.producer.Answered();
      program.positions[cookie] = position;
      program.to_submit.pop_back();
      any = true;
    }
    if (any && program.producer.NeedsDoorbell()) Ring();
  }

  bool PollOnce(Program& program) {
    SmallAnswer answers[3];
    const size_t count = program.consumer.Poll(absl::MakeSpan(answers));
    RL_ASSERT(!program.consumer.broken());
    for (size_t i = 0; i < count; ++i) {
      const uint64_t cookie = answers[i].cookie;
      RL_ASSERT(answers[i].check == ~cookie);
      if (cookie >= kFirstFreed) {
        // In order, so none is lost and none comes twice.
        RL_ASSERT(cookie == kFirstFreed + program.freed);
        ++program.freed;
      } else {
        RL_ASSERT(program.positions.erase(cookie) == 1);
        ++program.answered;
        program.producer.Answered();
      }
    }
    if (count > 0 && program.consumer.NeedsDoorbell()) Ring();
    return count > 0;
  }

  bool Reconnected() {
    world.kernel.lock($);
    const bool changed = world.run != Sleep::seen_run;
    Sleep::seen_run = world.run;
    world.kernel.unlock($);
    return changed;
  }

  // Makes again what the run before has taken and not answered.
  void Recover(Program& program) {
    const uint64_t lost_before = program.consumer.LostBefore();
    while (PollOnce(program)) {
    }
    if (world.bug == Bug::kLostIsNotSubmittedAgain) return;
    for (auto it = program.positions.begin(); it != program.positions.end();) {
      if (it->second >= lost_before) {
        ++it;
        continue;
      }
      program.to_submit.push_back(it->first);
      program.producer.Answered();
      it = program.positions.erase(it);
    }
  }

  void RunDaemon() {
    Lane lane(&World::session_page, &World::answers_page);
    Serve(lane);
  }

  void RestartDaemon() {
    Lane lane(&World::session_page, &World::answers_page);
    world.kernel.lock($);
    ++world.run;
    world.futex.notify_all($);
    world.kernel.unlock($);
    Serve(lane);
  }

  void Serve(Lane& lane) {
    BasicLaneSet<Lane> set;
    set.Add(&lane);
    for (;;) {
      SmallSubmission out[2];
      const TakeResult took = lane.Take(absl::MakeSpan(out));
      RL_ASSERT(!took.broke);
      for (size_t i = 0; i < took.count; ++i) {
        const uint64_t cookie = out[i].cookie;
        RL_ASSERT(out[i].check == ~cookie);
        if (scenario.victim != kDaemon) RL_ASSERT(cookie == ++taken);
        RL_ASSERT(lane.Done({cookie, ~cookie}));
      }
      for (; freed_sent < scenario.freed; ++freed_sent) {
        const uint64_t cookie = kFirstFreed + freed_sent;
        lane.Freed({cookie, ~cookie});
      }
      const bool wake = lane.Publish();
      if (wake) {
        Sleep::Wake(&World::answers_page.header.produced);
      }
      if (took.count > 0) continue;
      const bool asleep = set.FallAsleep();
      if (!asleep && world.bug != Bug::kNoLastLookBeforeSleep) continue;
      if (AwaitBell()) break;
      set.Rang(&lane);
    }
    // The program's last words.
    SmallSubmission out[2];
    for (size_t left = 3; left > 0; --left) {
      const TakeResult took = lane.Take(absl::MakeSpan(out));
      RL_ASSERT(!took.broke);
      for (size_t i = 0; i < took.count; ++i) {
        RL_ASSERT(out[i].check == ~out[i].cookie);
      }
    }
  }
};

// Relacy watches the heap, so a stream that grows is none for its output.
rl::test_result_e Explore(const Scenario& what, unsigned executions,
                          bool explain) {
  scenario = what;
  std::ostream nowhere(nullptr);
  rl::test_params params;
  params.iteration_count = static_cast<unsigned>(Effort(executions));
  params.output_stream = explain ? &std::cout : &nowhere;
  params.progress_stream = &nowhere;
  // Else it runs what has failed once more, to tell its history.
  params.output_history = !explain;
  params.execution_depth_limit = 5000;
  return Search<LaneSuite>(params);
}

constexpr unsigned kExecutions = 50000;

void ExpectGood(const Scenario& what) {
  EXPECT_EQ(Explore(what, kExecutions, /*explain=*/true),
            rl::test_result_success);
}

TEST(LaneModelTest, SubmissionsAreAnsweredAndNobodySleepsForEver) {
  ExpectGood({Bug::kNone, -1, 3, 0});
}

TEST(LaneModelTest, WhatWasFreedArrivesThoughTheRingIsShort) {
  ExpectGood({Bug::kNone, -1, 1, 5});
}

TEST(LaneModelTest, ProgramMayDieAfterAnyStore) {
  ExpectGood({Bug::kNone, kProgram, 4, 3});
}

TEST(LaneModelTest, DaemonMayDieAfterAnyStore) {
  ExpectGood({Bug::kNone, kDaemon, 4, 0});
}

struct SeededBug {
  Scenario scenario;
  rl::test_result_e found;
};

class SeededBugTest : public testing::TestWithParam<SeededBug> {};

TEST_P(SeededBugTest, IsFound) {
  EXPECT_EQ(Explore(GetParam().scenario, kExecutions, /*explain=*/false),
            GetParam().found);
}

// Words that do not fit, or come twice.
constexpr rl::test_result_e kWrong = rl::test_result_user_assert_failed;
// Somebody sleeps for ever.
constexpr rl::test_result_e kStuck = rl::test_result_deadlock;

INSTANTIATE_TEST_SUITE_P(
    Lane, SeededBugTest,
    testing::Values(
        SeededBug{{Bug::kSubmittedIsRelaxed}, kWrong},
        SeededBug{{Bug::kProducedIsRelaxed}, kWrong},
        SeededBug{{Bug::kBellIsNotSequential}, kStuck},
        SeededBug{{Bug::kWakeIsNotSequential}, kStuck},
        SeededBug{{Bug::kKeptBackIsNotSequential, -1, 1, 5}, kStuck},
        SeededBug{{Bug::kNoLastLookBeforeSleep}, kStuck},
        SeededBug{{Bug::kFutexDoesNotCompare}, kStuck},
        SeededBug{{Bug::kRingIsNeverFull}, kWrong},
        SeededBug{{Bug::kAnswersAreAlwaysRead, -1, 1, 8}, kWrong},
        SeededBug{{Bug::kLostIsNotSubmittedAgain, kDaemon}, kStuck}));

}  // namespace
}  // namespace shmd::model
