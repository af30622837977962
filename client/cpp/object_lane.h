#ifndef SHMD_CLIENT_CPP_OBJECT_LANE_H_
#define SHMD_CLIENT_CPP_OBJECT_LANE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/session_link.h"
#include "shm/lane/answer_ring.h"
#include "shm/lane/submission_ring.h"
#include "shm/layout/memory_word.h"

namespace shmd {
inline namespace client {

// SERVER_UNREACHABLE (UNAVAILABLE).
absl::Status DirectoryLost();

// The program's end of its session's two rings: submissions go out, answers
// come back to the threads that wait for them. One of the waiting threads at a
// time listens, for all. What a restarted daemon did not get to is submitted
// again. Thread-safe.
class ObjectLane {
 public:
  // One submission and what became of it.
  struct Operation {
    layout::Submission submission = {};
    bool done = false;
    layout::Answer answer = {};
    // A run of the daemon that is over may have done it before.
    bool is_repeated = false;

    uint64_t sequence = 0;  // in the ring; for ObjectLane alone
  };

  // `is_lost` is whether the daemon has no longer what the pages are of.
  // `on_news` gets every answer that is not to a submission, under no lock of
  // the caller's. The pages outlive this.
  ObjectLane(std::shared_ptr<SessionLink> link, layout::SessionPage* mine,
             const layout::AnswersPage* theirs,
             std::shared_ptr<const std::atomic<bool>> is_lost,
             std::function<void(const layout::Answer&)> on_news);

  // Submits all and waits until each is done. SERVER_UNREACHABLE when some are
  // not by then (DEADLINE_EXCEEDED), or never will be (UNAVAILABLE).
  absl::Status Run(absl::Span<Operation> operations, const Deadline& deadline);

  // Waits for what comes next.
  void Listen(const Deadline& deadline);
  // Hears what has come, if anything, without waiting. Costs a load.
  void ListenIfAny() {
    if (ABSL_PREDICT_FALSE(Produced() !=
                           heard_.load(std::memory_order_relaxed))) {
      HearNow();
    }
  }

 private:
  uint64_t Produced() const {
    return layout::HostMemory::Load(&theirs_->header.produced,
                                    std::memory_order_relaxed);
  }
  void HearNow();
  bool Submit(Operation& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RingIfAsleep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Listens, or waits for the thread that does.
  void AwaitNews(const Deadline& deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeAnswers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether there was another run of the daemon since.
  bool SubmitLostAgain(uint64_t lost_before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<SessionLink> link_;
  layout::SessionPage* const mine_;
  const layout::AnswersPage* const theirs_;
  const std::shared_ptr<const std::atomic<bool>> is_lost_;
  const std::function<void(const layout::Answer&)> on_news_;
  AnswerConsumer answers_;          // of the thread that listens
  std::atomic<uint64_t> heard_{0};  // of those produced

  absl::Mutex mutex_;
  SubmissionProducer submissions_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Operation*> waiting_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_cookie_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t lost_before_ ABSL_GUARDED_BY(mutex_) = 0;
  bool somebody_listens_ ABSL_GUARDED_BY(mutex_) = false;
  absl::CondVar news_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_OBJECT_LANE_H_
