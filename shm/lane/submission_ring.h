#ifndef SHMD_SHM_LANE_SUBMISSION_RING_H_
#define SHMD_SHM_LANE_SUBMISSION_RING_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "absl/types/span.h"
#include "shm/lane/ring_slot.h"
#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"

namespace shmd {

// The program's end of its submission ring. There is one per session; all
// threads of the program share it under a mutex of the client's, so this is
// not thread-safe.
//
// Starts where the page says, so a program may make it anew over the same
// page as long as nothing is unanswered.
template <typename Memory, typename SessionPage = layout::SessionPage,
          typename AnswersPage = layout::AnswersPage>
class BasicSubmissionProducer {
 public:
  using Submission = std::remove_reference_t<
      decltype(std::declval<SessionPage&>().submissions[0])>;
  static constexpr uint64_t kCapacity =
      sizeof(SessionPage::submissions) / sizeof(Submission);

  BasicSubmissionProducer(SessionPage* mine, const AnswersPage* theirs)
      : mine_(mine),
        theirs_(theirs),
        submitted_(
            Memory::Load(&mine->header.submitted, std::memory_order_relaxed)) {}

  // Puts a submission into the ring; false when it is full, or as many as it
  // holds are unanswered: then read answers first. The daemon may see it at
  // once, but it only has to after NeedsDoorbell.
  bool Submit(const Submission& submission) {
    if (unanswered_ >= kCapacity) return false;
    // Acquire, with the release in Take: the slot has been copied before it is
    // written again.
    const uint64_t taken =
        Memory::Load(&theirs_->header.taken, std::memory_order_acquire);
    if (submitted_ - taken >= kCapacity) return false;
    StoreSlot<Memory>(&mine_->submissions[submitted_ % kCapacity], submission);
    ++submitted_;
    ++unanswered_;
    // Release, with the acquire in Take: the slot is written.
    Memory::Store(&mine_->header.submitted, submitted_,
                  std::memory_order_release);
    return true;
  }

  // To be asked once after one or several Submit: whether the daemon sleeps, so
  // that its bell has to be rung. Without it, a submission may lie for ever.
  bool NeedsDoorbell() {
    // The daemon stores `asleep` and then loads `submitted`; here it is the
    // other way about, all sequentially consistent: at least one of the two
    // sees what the other has stored.
    Memory::Exchange(&mine_->header.submitted, submitted_,
                     std::memory_order_seq_cst);
    return Memory::Load(&theirs_->header.asleep, std::memory_order_seq_cst) !=
           0;
  }

  // To be called for every kDone that was read, and for every submission whose
  // answer was lost with a run of the daemon: then it can be made again.
  void Answered(uint64_t count = 1) {
    unanswered_ -= std::min(count, unanswered_);
  }

  uint64_t unanswered() const { return unanswered_; }

  // Of the next submission, counted from 0 in the life of the page.
  uint64_t position() const { return submitted_; }

 private:
  SessionPage* mine_;
  const AnswersPage* theirs_;
  uint64_t submitted_;
  uint64_t unanswered_ = 0;
};

struct TakeResult {
  size_t count = 0;
  // The program broke the rules of the ring; said once, no more is taken.
  bool broke = false;
};

// The daemon's end. Trusts nothing in the program's page. Starts where an
// earlier run of the daemon stopped taking. Not thread-safe.
template <typename Memory, typename SessionPage = layout::SessionPage,
          typename AnswersPage = layout::AnswersPage>
class BasicSubmissionConsumer {
 public:
  using Submission = std::remove_reference_t<
      decltype(std::declval<SessionPage&>().submissions[0])>;
  static constexpr uint64_t kCapacity =
      sizeof(SessionPage::submissions) / sizeof(Submission);

  BasicSubmissionConsumer(const SessionPage* theirs, AnswersPage* mine)
      : theirs_(theirs),
        mine_(mine),
        taken_(Memory::Load(&mine->header.taken, std::memory_order_relaxed)),
        seen_(taken_) {
    // Release, with the acquire in LostBefore: what the run before this one
    // has answered is there.
    Memory::Store(&mine->header.lost_before, taken_, std::memory_order_release);
  }

  // Copies submissions in the order they were made, each once. What is in
  // them is anything a hostile program likes.
  TakeResult Take(absl::Span<Submission> out) {
    if (broken_) return {};
    // Acquire, with the release in Submit.
    const uint64_t submitted =
        Memory::Load(&theirs_->header.submitted, std::memory_order_acquire);
    // Neither further ahead than the ring is long, nor back: a difference
    // below 0 is a large one.
    if (submitted - taken_ > kCapacity || submitted - seen_ > kCapacity) {
      broken_ = true;
      return {0, true};
    }
    seen_ = submitted;
    const size_t count = std::min<uint64_t>(submitted - taken_, out.size());
    if (count == 0) return {};
    for (size_t i = 0; i < count; ++i) {
      LoadSlot<Memory>(&theirs_->submissions[(taken_ + i) % kCapacity], out[i]);
    }
    taken_ += count;
    // Release, with the acquire in Submit: the slots have been copied.
    Memory::Store(&mine_->header.taken, taken_, std::memory_order_release);
    return {count, false};
  }

  // Whether Take would have something to say. Sequentially consistent, for
  // the last look before the daemon sleeps.
  bool HasMore() const {
    return !broken_ && Memory::Load(&theirs_->header.submitted,
                                    std::memory_order_seq_cst) != taken_;
  }

  bool broken() const { return broken_; }

 private:
  const SessionPage* theirs_;
  AnswersPage* mine_;
  uint64_t taken_;
  uint64_t seen_;  // the last `submitted`
  bool broken_ = false;
};

using SubmissionProducer = BasicSubmissionProducer<layout::HostMemory>;
using SubmissionConsumer = BasicSubmissionConsumer<layout::HostMemory>;

}  // namespace shmd

#endif  // SHMD_SHM_LANE_SUBMISSION_RING_H_
