// A program that writes anything anywhere into its own page, and one that does
// not: the daemon survives the first, drops it when it must, and goes on
// serving the second. 10^8 bits are flipped (tests/testing/effort.h), and fewer
// under a sanitizer, where each costs that much more: it looks at what each
// access does, for which the same flips need not come as often.
//
// Two tests, because chance alone proves little: most flips of a program that
// runs beside the daemon are overwritten before anybody looks.
//
// - In one thread, by ScribbledMemory: each flip is of a word in the moment
//   before the daemon's code reads it, so each is read, also between two reads
//   of one word. Every word that was read is known, so what has to come of it
//   is known too, and compared after every call.
// - In another process, which flips while the daemon looks: what the compiler
//   and the processor make of it.
//
// Each of these, put into the code by hand, failed the first test within a
// million flips: Take without either of its two limits, or with `submitted`
// read again for its count; UpdateRead with a limit that is one too high;
// TakeLimit without what is unanswered; CollectPins without its min(), by a
// signal.

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "shm/directory/pins.h"
#include "shm/lane/scribbled_memory.h"
#include "shm/lane/session_lane.h"
#include "shm/lane/session_pages.h"
#include "tests/testing/effort.h"
#include "tests/testing/made_pages.h"

namespace shmd {
namespace {

using layout::Answer;
using layout::HostMemory;
using layout::Submission;

constexpr uint64_t kFlips = 100000000;
// Of them, by another process, whose flips cost more.
constexpr uint64_t kByAnotherProcess = 10;

class HonestProgram {
 public:
  HonestProgram()
      : page_(std::make_unique<layout::SessionPage>()),
        producer_(page_.get(), pages_.daemon().answers()),
        consumer_(pages_.daemon().answers(), page_.get()),
        lane_(page_.get(), pages_.daemon().answers()) {}

  // One round trip, both ends of it; whether all came through.
  bool RoundTrip() {
    Submission made = {};
    made.cookie = ++trips_;
    made.reserved = ~trips_;
    Submission taken;
    if (!producer_.Submit(made) ||
        lane_.Take(absl::MakeSpan(&taken, 1)).count != 1 ||
        taken.cookie != trips_ || taken.reserved != ~trips_) {
      return false;
    }
    Answer answer = {};
    answer.cookie = taken.cookie;
    if (!lane_.Done(answer)) return false;
    lane_.Publish();
    Answer got;
    if (consumer_.Poll(absl::MakeSpan(&got, 1)) != 1) return false;
    producer_.Answered();
    return got.cookie == trips_;
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

// A session's page with nothing behind it.
class GuardedPage {
 public:
  GuardedPage()
      : memory_(mmap(nullptr, kBytes + kGuardBytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED ||
        mprotect(memory_, kBytes, PROT_READ | PROT_WRITE) != 0) {
      std::abort();
    }
  }
  GuardedPage(const GuardedPage&) = delete;
  ~GuardedPage() { munmap(memory_, kBytes + kGuardBytes); }

  layout::SessionPage* page() {
    return static_cast<layout::SessionPage*>(memory_);
  }

 private:
  static constexpr size_t kBytes = sizeof(layout::SessionPage);
  static constexpr size_t kGuardBytes = size_t{1} << 20;
  static_assert(kBytes % 4096 == 0);

  void* const memory_;
};

// The daemon's end of a hostile session, call by call, beside a model of what
// each call has to do with the words that it has read.
class HostileSession {
 public:
  HostileSession() : answers_(std::make_unique<layout::AnswersPage>()) {
    ScribbledMemory::page = guarded_.page();
    Begin();
  }
  ~HostileSession() { ScribbledMemory::page = nullptr; }

  // False once anything is not as it has to be: why() then.
  bool LookOnce() {
    MoveOn();
    if (!Take()) return false;
    while (!open_.empty() && ScribbledMemory::Random(8) != 0) {
      if (!AnswerOne()) return false;
    }
    if (!Free() || !Publish() || !LookForWork()) return false;
    if (ScribbledMemory::wrote_theirs) return Fail("wrote into the page");
    if (lane_->broken()) {
      ++broke;
      Begin();
    } else if (ScribbledMemory::Random(64) == 0) {
      // Another run of the daemon, over the same pages.
      Resume();
    }
    return true;
  }

  // As LookOnce, of the pins.
  bool LookAtPins() {
    if (ScribbledMemory::Random(2) == 0) {
      guarded_.page()->header.pins_used =
          layout::kMaxPins - 1 + ScribbledMemory::Random(3);
    }
    ScribbledMemory::NextLook();
    absl::flat_hash_set<uint32_t> pinned;
    CollectPins<ScribbledMemory>(guarded_.page(), &pinned);
    if (ScribbledMemory::read_twice) return Fail("a pin was read twice");
    if (ScribbledMemory::loads > layout::kMaxPins + 1) {
      return Fail("more pins than there are");
    }
    const size_t first = offsetof(layout::SessionPage, pins) / sizeof(uint64_t);
    size_t named = 0;
    for (size_t i = 0; i + 1 < ScribbledMemory::loads; ++i) {
      const auto position =
          static_cast<uint32_t>(ScribbledMemory::values[first + i]);
      named += position != 0;
      if (position != 0 && !pinned.contains(position)) {
        return Fail("a pin was not seen");
      }
    }
    pins += named;
    return pinned.size() <= named || Fail("pins that are none");
  }

  const char* why() const { return why_; }

  uint64_t taken = 0;
  uint64_t broke = 0;
  uint64_t pins = 0;

 private:
  using Lane = BasicSessionLane<ScribbledMemory>;
  static constexpr uint64_t kRing = layout::kSubmissions;
  static constexpr uint64_t kAtOnce = 64;

  bool Fail(const char* why) {
    why_ = why;
    return false;
  }

  // A new session of the program's, whose counters start out right.
  void Begin() {
    layout::SessionHeader& theirs = guarded_.page()->header;
    theirs.submitted = theirs.answers_read = 0;
    answers_->header.taken = answers_->header.produced = 0;
    Resume();
  }

  void Resume() {
    lane_.emplace(guarded_.page(), answers_.get());
    taken_ = seen_ = answers_->header.taken;
    const uint64_t produced = answers_->header.produced;
    read_ = produced - std::min(produced, layout::kAnswers);
    open_.clear();
    answers_broken_ = submissions_broken_ = false;
    pushed_ = 0;
    produced_before_ = produced;
  }

  // What a program does that keeps the rules, or just breaks them: rings that
  // are full, answers that are not read.
  void MoveOn() {
    layout::SessionHeader& theirs = guarded_.page()->header;
    if (ScribbledMemory::Random(4) != 0) {
      theirs.submitted =
          taken_ + ScribbledMemory::Random(
                       ScribbledMemory::Random(8) == 0 ? kRing + 2 : 4);
    }
    if (ScribbledMemory::Random(4) != 0) {
      const uint64_t unread = answers_->header.produced - read_;
      theirs.answers_read = read_ + ScribbledMemory::Random(unread + 1);
    }
    theirs.waiting = static_cast<uint32_t>(ScribbledMemory::Random(2));
  }

  // After a call: what it read of the answers has to have been judged so.
  bool JudgeReads() {
    const uint64_t published = produced_before_;
    for (const uint64_t read : ScribbledMemory::answers_read) {
      if (answers_broken_) return Fail("reads on after the rules were broken");
      answers_broken_ = read - read_ > published - read_;
      if (!answers_broken_) read_ = read;
    }
    produced_before_ = answers_->header.produced;
    return true;
  }

  bool IsBroken() const { return answers_broken_ || submissions_broken_; }
  bool JudgeBroken() {
    return lane_->broken() == IsBroken() || Fail("misjudged a counter");
  }

  bool Take() {
    ScribbledMemory::NextLook();
    Submission out[kAtOnce];
    const bool was_broken = IsBroken();
    const TakeResult took = lane_->Take(absl::MakeSpan(out));
    if (ScribbledMemory::read_twice) return Fail("a word was read twice");
    if (!JudgeReads()) return false;
    const size_t at =
        offsetof(layout::SessionHeader, submitted) / sizeof(uint64_t);
    uint64_t expected = 0;
    if (!IsBroken() && ScribbledMemory::stamps[at] == ScribbledMemory::look) {
      const uint64_t submitted = ScribbledMemory::values[at];
      submissions_broken_ =
          submitted - taken_ > kRing || submitted - seen_ > kRing;
      if (!submissions_broken_) {
        seen_ = submitted;
        const uint64_t room =
            layout::kAnswers - (answers_->header.produced + pushed_ - read_);
        const uint64_t limit = std::min(room, kRing);
        expected = std::min({submitted - taken_, kAtOnce,
                             limit - std::min<uint64_t>(limit, open_.size())});
      }
    } else if (!IsBroken()) {
      return Fail("did not look");
    }
    if (!JudgeBroken()) return false;
    if (took.count != expected) return Fail("took too many or too few");
    if (took.broke != (IsBroken() && !was_broken)) {
      return Fail("told it never, or twice");
    }
    if (ScribbledMemory::loads > 2 + 16 * expected) return Fail("reads more");
    return CheckTaken(absl::MakeConstSpan(out, took.count));
  }

  // They are what was read, once.
  bool CheckTaken(absl::Span<const Submission> out) {
    for (const Submission& one : out) {
      const size_t at = offsetof(layout::SessionPage, submissions) / 8 +
                        taken_ % kRing * (sizeof(Submission) / 8);
      if (std::memcmp(&one, &ScribbledMemory::values[at], sizeof(one)) != 0) {
        return Fail("took what was not there");
      }
      open_.push_back(one.cookie);
      ++taken_;
    }
    taken += out.size();
    return answers_->header.taken == taken_ || Fail("says another number");
  }

  bool AnswerOne() {
    ScribbledMemory::NextLook();
    Answer answer = {};
    answer.cookie = open_.front();
    open_.pop_front();
    const bool done = lane_->Done(answer);
    pushed_ += done;
    return (done != answers_broken_ && ScribbledMemory::loads == 0) ||
           Fail("an answer was refused, or given to who broke the rules");
  }

  bool Free() {
    if (lane_->kept_back() >= 100 || ScribbledMemory::Random(2) == 0) {
      return true;
    }
    ScribbledMemory::NextLook();
    const size_t before = lane_->kept_back();
    lane_->Freed({});
    if (!JudgeReads() || !JudgeBroken()) return false;
    if (answers_broken_) return true;
    const size_t went = before + 1 - lane_->kept_back();
    pushed_ += went;
    return went <= before + 1 || Fail("freed out of nothing");
  }

  bool Publish() {
    ScribbledMemory::NextLook();
    const size_t before = lane_->kept_back();
    const uint64_t produced = answers_->header.produced;
    lane_->Publish();
    if (!JudgeReads() || !JudgeBroken()) return false;
    if (answers_broken_) {
      return answers_->header.produced == produced || Fail("answers on");
    }
    pushed_ += before - lane_->kept_back();
    if (answers_->header.produced != produced + pushed_) {
      return Fail("published more or less than was answered");
    }
    pushed_ = 0;
    // Never over what the program may still read.
    return answers_->header.produced - read_ <= layout::kAnswers ||
           Fail("overwrote answers");
  }

  bool LookForWork() {
    ScribbledMemory::NextLook();
    lane_->HasWork();
    if (ScribbledMemory::loads > 3) return Fail("looks for too long");
    return JudgeReads() && JudgeBroken();
  }

  GuardedPage guarded_;
  const std::unique_ptr<layout::AnswersPage> answers_;
  std::optional<Lane> lane_;
  const char* why_ = nullptr;
  // What the daemon has to believe.
  uint64_t taken_ = 0;
  uint64_t seen_ = 0;
  uint64_t read_ = 0;
  uint64_t produced_before_ = 0;  // when the call began
  uint64_t pushed_ = 0;           // and not published
  bool answers_broken_ = false;
  bool submissions_broken_ = false;
  std::deque<uint64_t> open_;  // cookies
};

TEST(ScribbleTest, EveryFlipIsReadAndJudgedRightly) {
  const uint64_t wanted = Effort(kFlips);
  ScribbledMemory::random = 20261122;
  ScribbledMemory::flips = 0;
  HonestProgram honest;
  HostileSession hostile;
  uint64_t looks = 0;
  while (ScribbledMemory::flips < wanted) {
    ASSERT_TRUE(hostile.LookOnce())
        << hostile.why() << " after " << ScribbledMemory::flips << " flips";
    if (++looks % 64 == 0) {
      ASSERT_TRUE(honest.RoundTrip()) << looks;
    }
    if (looks % 1024 == 0) {
      ASSERT_TRUE(hostile.LookAtPins()) << hostile.why();
    }
  }
  // It was no harmless program, and none that was always thrown out at once.
  EXPECT_GT(hostile.taken, looks / 4);
  EXPECT_GT(hostile.broke, looks / 64);
  EXPECT_LT(hostile.broke, looks / 2);
  EXPECT_GT(hostile.pins, 0u);
  RecordProperty("looks", std::to_string(looks));
  RecordProperty("taken", std::to_string(hostile.taken));
  RecordProperty("broke", std::to_string(hostile.broke));
  RecordProperty("pins", std::to_string(hostile.pins));
}

// Flips bits, most of them where it hurts: of the counters, and low ones.
// Pauses until the daemon has looked since, so that what was flipped is seen.
void Scribble(layout::SessionPage* page, const uint64_t* looks, uint64_t flips,
              uint64_t seed) {
  constexpr uint64_t kBetweenLooks = 16;
  std::mt19937_64 random(seed);
  uint64_t* const words = reinterpret_cast<uint64_t*>(page);
  uint64_t* const counters[] = {
      &page->header.submitted, &page->header.answers_read,
      &page->header.pins_used, &page->header.recent_count, words + 1};
  for (uint64_t i = 0; i < flips; ++i) {
    const uint64_t dice = random();
    const bool counter = dice % 4 == 0;
    uint64_t* const word = counter
                               ? counters[(dice >> 2) % 5]
                               : words + (dice >> 8) % ScribbledMemory::kWords;
    const uint64_t bit =
        (dice >> 2) % 8 != 0 ? (dice >> 50) % 4 : (dice >> 50) % 64;
    __atomic_fetch_xor(word, uint64_t{1} << bit, __ATOMIC_RELAXED);
    if (i % kBetweenLooks != 0) continue;
    const uint64_t before = HostMemory::Load(looks, std::memory_order_relaxed);
    while (HostMemory::Load(looks, std::memory_order_relaxed) == before) {
      sched_yield();
    }
  }
}

struct Served {
  uint64_t taken = 0;
  uint64_t broke = 0;
};

// One look at the hostile session, as the daemon has it. True when the session
// has to end.
bool LookOnce(SessionLane& lane, std::vector<Submission>& out, Served& served) {
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

// The session ends, and the program comes back at once with a page that starts
// out right.
std::unique_ptr<SessionLane> ComeBack(const SessionPages& pages) {
  layout::AnswersPage* const answers = pages.answers();
  const layout::SessionHeader& theirs = pages.session()->header;
  HostMemory::Store(
      &answers->header.taken,
      HostMemory::Load(&theirs.submitted, std::memory_order_relaxed),
      std::memory_order_relaxed);
  HostMemory::Store(
      &answers->header.produced,
      HostMemory::Load(&theirs.answers_read, std::memory_order_relaxed),
      std::memory_order_relaxed);
  return std::make_unique<SessionLane>(pages.session(), answers);
}

TEST(ScribbleTest, DaemonAndOthersGoOnWhateverAProgramWrites) {
  const MadePages made;
  const MappedSessionPages hostile = made.Map();
  auto* const looks =
      static_cast<uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(looks, MAP_FAILED);

  const pid_t child = fork();
  if (child == 0) {
    Scribble(hostile.session(), looks, Effort(kFlips) / kByAnotherProcess,
             20261122);
    _exit(0);
  }
  HonestProgram honest;
  Served served;
  std::vector<Submission> out(64);
  auto lane = std::make_unique<SessionLane>(made.daemon().session(),
                                            made.daemon().answers());
  bool honest_served = true;
  int status = 0;
  while (honest_served && waitpid(child, &status, WNOHANG) == 0) {
    for (int i = 0; i < 256 && honest_served; ++i) {
      if (LookOnce(*lane, out, served)) {
        ++served.broke;
        lane = ComeBack(made.daemon());
      }
      honest_served = honest.RoundTrip();
      HostMemory::Store(looks, *looks + 1, std::memory_order_relaxed);
    }
    // With one processor, it is the other's turn.
    sched_yield();
  }
  if (!honest_served) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  ASSERT_TRUE(honest_served) << "after " << honest.trips();
  EXPECT_EQ(status, 0);
  // It was there: rings were broken, and rings that were not gave something.
  EXPECT_GT(served.taken, 0u);
  EXPECT_GT(served.broke, 0u);
  EXPECT_EQ(honest.trips(), *looks);
  RecordProperty("looks", std::to_string(*looks));
  RecordProperty("broke", std::to_string(served.broke));
  munmap(looks, 4096);
}

}  // namespace
}  // namespace shmd
