#include "client/cpp/object_lane.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "shm/layout/memory_word.h"

namespace shmd {
inline namespace client {
namespace {

// How long to listen before looking whether the daemon is another one.
constexpr absl::Duration kLookAround = absl::Milliseconds(50);
constexpr size_t kAnswersAtOnce = 32;

uint64_t LostBefore(const layout::AnswersPage* answers) {
  return layout::HostMemory::Load(&answers->header.lost_before,
                                  std::memory_order_acquire);
}

}  // namespace

absl::Status DirectoryLost() {
  return Error(absl::StatusCode::kUnavailable, reason::kServerUnreachable,
               "the daemon was restarted and has lost these objects: open the "
               "store anew");
}

ObjectLane::ObjectLane(std::shared_ptr<SessionLink> link,
                       layout::SessionPage* mine,
                       const layout::AnswersPage* theirs,
                       std::shared_ptr<const std::atomic<bool>> is_lost,
                       std::function<void(const layout::Answer&)> on_news)
    : link_(std::move(link)),
      mine_(mine),
      theirs_(theirs),
      is_lost_(std::move(is_lost)),
      on_news_(std::move(on_news)),
      answers_(theirs, mine),
      submissions_(mine, theirs),
      lost_before_(LostBefore(theirs)) {}

bool ObjectLane::Submit(Operation& operation) {
  operation.submission.cookie = last_cookie_ + 1;
  // The place that it will have.
  operation.sequence = layout::HostMemory::Load(&mine_->header.submitted,
                                                std::memory_order_relaxed);
  if (!submissions_.Submit(operation.submission)) return false;
  waiting_[++last_cookie_] = &operation;
  return true;
}

void ObjectLane::RingIfAsleep() {
  if (submissions_.NeedsDoorbell()) link_->Ring();
}

absl::Status ObjectLane::Run(absl::Span<Operation> operations,
                             const Deadline& deadline) {
  absl::MutexLock lock(&mutex_);
  size_t submitted = 0;
  for (;;) {
    const size_t before = submitted;
    while (submitted < operations.size() && Submit(operations[submitted])) {
      ++submitted;
    }
    if (submitted > before) {
      SHMD_FAILPOINT("ring.submitted");
      RingIfAsleep();
      SHMD_FAILPOINT("ring.rung");
    }
    const auto open =
        std::find_if(operations.begin(), operations.end(),
                     [](const Operation& one) { return !one.done; });
    if (open == operations.end()) return absl::OkStatus();
    if (is_lost_->load() || deadline.HasPassed()) break;
    AwaitNews(deadline);
  }
  // Their answers, should they come, find nobody.
  for (const Operation& one : operations) {
    if (!one.done) waiting_.erase(one.submission.cookie);
  }
  if (is_lost_->load()) return DirectoryLost();
  return Error(absl::StatusCode::kDeadlineExceeded, reason::kServerUnreachable,
               "the daemon did not answer in time");
}

void ObjectLane::Listen(const Deadline& deadline) {
  absl::MutexLock lock(&mutex_);
  AwaitNews(deadline);
}

void ObjectLane::AwaitNews(const Deadline& deadline) {
  if (somebody_listens_) {
    // Who listens looks around as often.
    news_.WaitWithTimeout(&mutex_, std::min(deadline.Left(), kLookAround));
    return;
  }
  const Deadline until = deadline.NoLaterThan(kLookAround);
  somebody_listens_ = true;
  mutex_.Unlock();
  const bool in_time = answers_.Wait(until);
  mutex_.Lock();
  // Before the answers are taken: what is unanswered after them never will be.
  const uint64_t lost_before = LostBefore(theirs_);
  TakeAnswers();
  somebody_listens_ = false;
  const bool is_another_run = SubmitLostAgain(lost_before);
  // Harmless, and mends whatever a daemon that was killed left half done.
  if (is_another_run || !in_time) RingIfAsleep();
  news_.SignalAll();
}

void ObjectLane::HearNow() {
  absl::MutexLock lock(&mutex_);
  if (!somebody_listens_) TakeAnswers();
}

void ObjectLane::TakeAnswers() {
  heard_.store(Produced(), std::memory_order_relaxed);
  layout::Answer answers[kAnswersAtOnce];
  for (;;) {
    const size_t count = answers_.Poll(absl::MakeSpan(answers));
    if (count > 0) SHMD_FAILPOINT("ring.polled");
    for (size_t i = 0; i < count; ++i) {
      const layout::Answer& answer = answers[i];
      if (answer.kind != static_cast<uint32_t>(layout::AnswerKind::kDone)) {
        on_news_(answer);
        continue;
      }
      submissions_.Answered();
      const auto found = waiting_.find(answer.cookie);
      if (found == waiting_.end()) continue;
      found->second->answer = answer;
      found->second->done = true;
      waiting_.erase(found);
    }
    if (answers_.NeedsDoorbell()) link_->Ring();
    if (count < kAnswersAtOnce) return;
  }
}

bool ObjectLane::SubmitLostAgain(uint64_t lost_before) {
  if (lost_before == lost_before_) return false;
  lost_before_ = lost_before;
  std::vector<Operation*> lost;
  for (const auto& [cookie, operation] : waiting_) {
    if (operation->sequence < lost_before) lost.push_back(operation);
  }
  std::sort(lost.begin(), lost.end(),
            [](const Operation* a, const Operation* b) {
              return a->sequence < b->sequence;
            });
  for (Operation* const operation : lost) {
    waiting_.erase(operation->submission.cookie);
    submissions_.Answered();
    operation->is_repeated = true;
    // There is room: it has just been made.
    Submit(*operation);
  }
  return true;
}

}  // namespace client
}  // namespace shmd
