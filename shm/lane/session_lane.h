#ifndef SHMD_SHM_LANE_SESSION_LANE_H_
#define SHMD_SHM_LANE_SESSION_LANE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "shm/lane/answer_ring.h"
#include "shm/lane/submission_ring.h"
#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"

namespace shmd {

// Both rings of one session at the daemon's end, which keep each other within
// bounds: no more is taken than can be answered. Over pages that an earlier
// run of the daemon has used, goes on where that stopped. Not thread-safe:
// everything that answers this session does so under one mutex, or on one
// thread.
template <typename Memory, typename SessionPage = layout::SessionPage,
          typename AnswersPage = layout::AnswersPage>
class BasicSessionLane {
 public:
  using Submissions = BasicSubmissionConsumer<Memory, SessionPage, AnswersPage>;
  using Answers = BasicAnswerProducer<Memory, SessionPage, AnswersPage>;
  using Submission = typename Submissions::Submission;
  using Answer = typename Answers::Answer;

  BasicSessionLane(const SessionPage* theirs, AnswersPage* mine)
      : mine_(mine), submissions_(theirs, mine), answers_(mine, theirs) {}

  // Takes what is there, each to be answered by one Done.
  TakeResult Take(absl::Span<Submission> out) {
    const size_t limit = std::min<uint64_t>(out.size(), answers_.TakeLimit());
    if (answers_.broken()) return Broke();
    const TakeResult taken = submissions_.Take(out.subspan(0, limit));
    if (taken.broke) return Broke();
    answers_.Took(taken.count);
    return taken;
  }

  // As of BasicAnswerProducer. After Publish has said so, wake the program.
  bool Done(const Answer& answer) { return answers_.Done(answer); }
  bool DoneInTurn(const Answer& answer) { return answers_.DoneInTurn(answer); }
  void Freed(const Answer& answer) { answers_.Freed(answer); }
  bool Publish() { return answers_.Publish(); }

  // Whether Take or Publish would do something.
  bool HasWork() {
    const bool more = answers_.HasMore() ||
                      (submissions_.HasMore() && answers_.TakeLimit() > 0);
    return broken() ? !told_ : more;
  }

  // From Arm to Disarm the program rings the bell after it has submitted. Look
  // at HasWork after Arm: it may just have done so without.
  void Arm() {
    Memory::Exchange(&mine_->header.asleep, uint32_t{1},
                     std::memory_order_seq_cst);
  }
  void Disarm() {
    Memory::Store(&mine_->header.asleep, uint32_t{0},
                  std::memory_order_relaxed);
  }

  // The program has broken the rules of a ring: nothing is read any more.
  bool broken() const { return submissions_.broken() || answers_.broken(); }
  size_t kept_back() const { return answers_.kept_back(); }
  // Whether it has so much to read that nothing more is taken until it does.
  bool is_deaf() const { return kept_back() >= Answers::kMostKeptBack; }

 private:
  template <typename Lane>
  friend class BasicLaneSet;

  TakeResult Broke() {
    const bool first = !told_;
    told_ = true;
    return {0, first};
  }

  AnswersPage* mine_;
  Submissions submissions_;
  Answers answers_;
  bool told_ = false;
  bool hot_ = false;  // in its set's list
};

// The sessions that one thread of the daemon serves. It looks at the hot ones
// again and again, without a system call; every other is armed, so its program
// rings. How many sessions there are costs nothing, then.
//
//   for (;;) {
//     for (Lane* lane : copy of set.hot()) {take, answer, publish;
//         after so many looks for nothing: set.Cool(lane);}
//     if (nothing came for a while && set.FallAsleep()) {
//       epoll_wait; for each bell that rang: set.Rang(lane);
//     }
//   }
//
// Owns no lane. Not thread-safe.
template <typename Lane>
class BasicLaneSet {
 public:
  // A lane that nobody has armed; it is hot at first, because there may be
  // something in it already.
  void Add(Lane* lane) { Heat(lane); }

  // To be called before the lane ends, hot or not.
  void Remove(Lane* lane) {
    if (lane->hot_) Erase(lane);
  }

  // Its bell rang, or something else happened to it, such as an answer that
  // makes room for others.
  void Rang(Lane* lane) {
    if (lane->hot_) return;
    lane->Disarm();
    Heat(lane);
  }

  // No longer looks at the lane until it rings; false, and nothing changes,
  // when there is something in it.
  bool Cool(Lane* lane) {
    if (!lane->hot_) return true;
    lane->Arm();
    if (lane->HasWork()) {
      lane->Disarm();
      return false;
    }
    Erase(lane);
    return true;
  }

  // Cools all; false when one is left that has something: do not sleep then.
  bool FallAsleep() {
    // All are armed before the first is looked at, so that the stores of one
    // are under way during those of the others.
    for (Lane* lane : hot_) lane->Arm();
    size_t kept = 0;
    for (Lane* lane : hot_) {
      lane->hot_ = lane->HasWork();
      if (!lane->hot_) continue;
      lane->Disarm();
      hot_[kept++] = lane;
    }
    hot_.resize(kept);
    return kept == 0;
  }

  absl::Span<Lane* const> hot() const { return hot_; }

 private:
  void Heat(Lane* lane) {
    lane->hot_ = true;
    hot_.push_back(lane);
  }

  void Erase(Lane* lane) {
    lane->hot_ = false;
    hot_.erase(std::find(hot_.begin(), hot_.end(), lane));
  }

  std::vector<Lane*> hot_;
};

using SessionLane = BasicSessionLane<layout::HostMemory>;
using LaneSet = BasicLaneSet<SessionLane>;

}  // namespace shmd

#endif  // SHMD_SHM_LANE_SESSION_LANE_H_
