#ifndef SHMD_SHM_LANE_ANSWER_RING_H_
#define SHMD_SHM_LANE_ANSWER_RING_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "shm/lane/host_sleep.h"
#include "shm/lane/ring_slot.h"
#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"

namespace shmd {

// The daemon's end of a session's answers. What was freed is kept back while
// so many answers are unread that those to submissions would lack room: for
// these there always is. Starts where an earlier run of the daemon stopped.
// Not thread-safe.
template <typename Memory, typename SessionPage = layout::SessionPage,
          typename AnswersPage = layout::AnswersPage>
class BasicAnswerProducer {
 public:
  using Answer = std::remove_reference_t<
      decltype(std::declval<AnswersPage&>().answers[0])>;
  static constexpr uint64_t kCapacity =
      sizeof(AnswersPage::answers) / sizeof(Answer);
  static constexpr uint64_t kReserved =
      sizeof(SessionPage::submissions) /
      sizeof(std::declval<SessionPage&>().submissions[0]);
  static_assert(kReserved < kCapacity);
  // From here on nothing more is taken from a program until it reads: what it
  // would have freed by that would be kept back too.
  static constexpr size_t kMostKeptBack = 65536;

  BasicAnswerProducer(AnswersPage* mine, const SessionPage* theirs)
      : mine_(mine),
        theirs_(theirs),
        produced_(
            Memory::Load(&mine->header.produced, std::memory_order_relaxed)),
        published_(produced_),
        // As old as can be; ReadAnswersRead brings it up to date.
        read_(produced_ - std::min(produced_, kCapacity)) {}

  // How many submissions may be taken now, so that each can be answered. A
  // program that has no more than kReserved unanswered, and reads its answers,
  // is not kept by this limit.
  uint64_t TakeLimit() {
    UpdateRead();
    if (broken_ || kept_back_.size() >= kMostKeptBack) return 0;
    const uint64_t room = kCapacity - (produced_ - read_);
    const uint64_t limit = std::min(room, kReserved);
    return limit - std::min(limit, unanswered_);
  }

  // So many were taken.
  void Took(uint64_t count) { unanswered_ += count; }

  // Answers one that was taken. False when there is none unanswered, or the
  // program broke the rules.
  bool Done(const Answer& answer) {
    if (broken_ || unanswered_ == 0) return false;
    --unanswered_;
    Push(answer);
    return true;
  }

  // Done, behind what was freed before, should that have to wait for room.
  bool DoneInTurn(const Answer& answer) {
    if (kept_back_.empty()) return Done(answer);
    if (broken_ || unanswered_ == 0) return false;
    kept_back_.push_back({answer, /*is_done=*/true});
    return true;
  }

  // Tells that something was freed, now or when there is room.
  void Freed(const Answer& answer) {
    if (broken_) return;
    kept_back_.push_back({answer, /*is_done=*/false});
    PushKeptBack();
  }

  // Lets the program see what was answered; true when it sleeps and has to be
  // woken. The first call of a run asks that in any case: an earlier run may
  // have died between the two.
  bool Publish() {
    PushKeptBack();
    if (broken_ || (produced_ == published_ && !first_publish_)) return false;
    first_publish_ = false;
    published_ = produced_;
    // The program stores `waiting` and then loads `produced`; here it is the
    // other way about, all sequentially consistent: at least one of the two
    // sees what the other has stored. Release, for the slots.
    Memory::Exchange(&mine_->header.produced, produced_,
                     std::memory_order_seq_cst);
    return Memory::Load(&theirs_->header.waiting, std::memory_order_seq_cst) !=
           0;
  }

  // Whether Publish would bring what was kept back. Sequentially consistent,
  // for the last look before the daemon sleeps.
  bool HasMore() {
    if (kept_back_.empty()) return false;
    UpdateRead();
    return !broken_ && HasRoomForFreed();
  }

  bool broken() const { return broken_; }
  size_t kept_back() const { return kept_back_.size(); }

 private:
  struct KeptBack {
    Answer answer;
    bool is_done = false;  // else it tells of something freed
  };

  bool HasRoomForFreed() const {
    return produced_ - read_ < kCapacity - kReserved;
  }

  void UpdateRead() {
    if (broken_) return;
    // Acquire, with the release in Poll: the slots have been copied.
    const uint64_t read =
        Memory::Load(&theirs_->header.answers_read, std::memory_order_seq_cst);
    // Neither back nor ahead of what the program can have seen.
    if (read - read_ > published_ - read_) {
      broken_ = true;
      kept_back_.clear();
      return;
    }
    read_ = read;
  }

  void PushKeptBack() {
    if (kept_back_.empty()) return;
    if (!HasRoomForFreed()) UpdateRead();
    while (!kept_back_.empty() && HasRoomForFreed()) {
      if (kept_back_.front().is_done) --unanswered_;
      Push(kept_back_.front().answer);
      kept_back_.pop_front();
    }
  }

  void Push(const Answer& answer) {
    StoreSlot<Memory>(&mine_->answers[produced_ % kCapacity], answer);
    ++produced_;
  }

  AnswersPage* mine_;
  const SessionPage* theirs_;
  uint64_t produced_;
  uint64_t published_;
  uint64_t read_;
  uint64_t unanswered_ = 0;
  std::deque<KeptBack> kept_back_;
  bool first_publish_ = true;
  bool broken_ = false;
};

// The program's end. One thread at a time may use it, by a mutex of the
// client's, which Wait is called under or by a thread that is known to be the
// only one: there is one word to say that a session sleeps. Interrupt may be
// called by any.
template <typename Memory, typename Sleep = HostSleep,
          typename SessionPage = layout::SessionPage,
          typename AnswersPage = layout::AnswersPage>
class BasicAnswerConsumer {
 public:
  using Answer = std::remove_reference_t<
      decltype(std::declval<AnswersPage&>().answers[0])>;
  static constexpr uint64_t kCapacity =
      sizeof(AnswersPage::answers) / sizeof(Answer);
  static constexpr uint64_t kReserved =
      sizeof(SessionPage::submissions) /
      sizeof(std::declval<SessionPage&>().submissions[0]);

  BasicAnswerConsumer(const AnswersPage* theirs, SessionPage* mine)
      : theirs_(theirs),
        mine_(mine),
        read_(Memory::Load(&mine->header.answers_read,
                           std::memory_order_relaxed)),
        announced_(read_),
        produced_(read_) {}

  // Copies answers in their order, each once; how many. 0 too when the page is
  // damaged: then `broken`.
  size_t Poll(absl::Span<Answer> out) {
    // Acquire, with the exchange in Publish: the slots are written.
    produced_ =
        Memory::Load(&theirs_->header.produced, std::memory_order_acquire);
    if (produced_ - read_ > kCapacity) {
      broken_ = true;
      return 0;
    }
    const size_t count = std::min<uint64_t>(produced_ - read_, out.size());
    if (count == 0) return 0;
    for (size_t i = 0; i < count; ++i) {
      LoadSlot<Memory>(&theirs_->answers[(read_ + i) % kCapacity], out[i]);
    }
    read_ += count;
    // Release, with the load in UpdateRead: the slots have been copied.
    Memory::Store(&mine_->header.answers_read, read_,
                  std::memory_order_release);
    return count;
  }

  // To be asked after every Poll: whether the daemon may be keeping answers
  // back, now has room for them, and sleeps, so that its bell has to be rung.
  bool NeedsDoorbell() {
    // The daemon keeps back only when this many were unread, by an
    // `answers_read` that is no older than the last one announced here.
    if (produced_ - announced_ < kCapacity - kReserved) return false;
    announced_ = read_;
    Memory::Exchange(&mine_->header.answers_read, read_,
                     std::memory_order_seq_cst);
    return Memory::Load(&theirs_->header.asleep, std::memory_order_seq_cst) !=
           0;
  }

  // Waits until there is an answer; false when `deadline` or Interrupt came
  // first. Watches for a short while, longer when that has paid of late, and
  // then sleeps.
  bool Wait(const Deadline& deadline) {
    if (Spin()) return true;
    in_wait_.store(true);
    // Nobody else clears it, so that a program which the daemon has woken
    // needs no second look at what the daemon thinks.
    Memory::Exchange(&mine_->header.waiting, uint32_t{1},
                     std::memory_order_seq_cst);
    bool got = false;
    for (bool in_time = true; in_time;) {
      const uint64_t produced =
          Memory::Load(&theirs_->header.produced, std::memory_order_seq_cst);
      got = produced != read_;
      if (got || interrupted_.load()) break;
      in_time = Sleep::Wait(&theirs_->header.produced,
                            static_cast<uint32_t>(produced), deadline);
    }
    Memory::Store(&mine_->header.waiting, uint32_t{0},
                  std::memory_order_relaxed);
    in_wait_.store(false);
    if (!got) interrupted_.store(false);
    return got;
  }

  // Makes the Wait that is under way return, or else the next one that would
  // sleep: because the daemon has gone, say. Returns when that Wait has seen
  // it.
  void Interrupt() {
    interrupted_.store(true);
    // Once may be too early: between its last look and its sleep.
    while (in_wait_.load() && interrupted_.load()) {
      Sleep::Wake(&theirs_->header.produced);
      Sleep::Pause();
    }
  }

  // Submissions before this position (BasicSubmissionProducer::position) were
  // taken by a run of the daemon that is over. One that is still unanswered
  // when everything has been read that there was after this call never will
  // be: it may or may not have had its effect.
  uint64_t LostBefore() const {
    // Acquire, with the release where a run starts.
    return Memory::Load(&theirs_->header.lost_before,
                        std::memory_order_acquire);
  }

  bool broken() const { return broken_; }

 private:
  bool Spin() {
    const uint32_t limit = std::min(spins_, Sleep::MaxSpins());
    for (uint32_t i = 0;; ++i) {
      if (Memory::Load(&theirs_->header.produced, std::memory_order_acquire) !=
          read_) {
        if (i > 0) spins_ = std::min(2 * spins_ + 1, Sleep::MaxSpins());
        return true;
      }
      if (i >= limit) break;
      Sleep::Pause();
    }
    spins_ = std::max(spins_ / 2, kMinSpins);
    return false;
  }

  static constexpr uint32_t kMinSpins = 50;

  const AnswersPage* theirs_;
  SessionPage* mine_;
  uint64_t read_;
  uint64_t announced_;  // the last `read_` that NeedsDoorbell has exchanged
  uint64_t produced_;   // as of the last Poll
  uint32_t spins_ = 1000;
  bool broken_ = false;
  std::atomic<bool> in_wait_{false};
  std::atomic<bool> interrupted_{false};
};

using AnswerProducer = BasicAnswerProducer<layout::HostMemory>;
using AnswerConsumer = BasicAnswerConsumer<layout::HostMemory>;

}  // namespace shmd

#endif  // SHMD_SHM_LANE_ANSWER_RING_H_
