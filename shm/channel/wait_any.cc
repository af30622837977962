#include "shm/channel/wait_any.h"

#include <optional>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/host_wait.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/spin.h"

namespace shmd {
namespace {

std::optional<size_t> Look(absl::Span<RingSubscriber* const> subscribers) {
  for (size_t i = 0; i < subscribers.size(); ++i) {
    if (subscribers[i]->SpinOnce()) return i;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<size_t> WaitAny(absl::Span<RingSubscriber* const> subscribers,
                               const Deadline& deadline) {
  if (subscribers.empty()) return NoMessageError();
  // Of one who mostly waits for the same ones.
  BasicSpin<HostWait>& spin = subscribers.front()->spin();
  for (;;) {
    std::optional<size_t> ready = Look(subscribers);
    if (ready.has_value()) return *ready;
    spin.Until([&] { return (ready = Look(subscribers)).has_value(); });
    if (ready.has_value()) return *ready;
    std::vector<sys::FutexWord> words;
    for (RingSubscriber* const one : subscribers) one->AnnounceSleep(&words);
    const auto awake = absl::MakeCleanup([subscribers] {
      for (RingSubscriber* const one : subscribers) one->EndSleep();
    });
    if (words.size() > sys::kMaxFutexWords) {
      return Exhausted(reason::kWaitLimitExceeded, "words to wait for at once",
                       words.size(), sys::kMaxFutexWords, "words");
    }
    for (size_t i = 0; i < subscribers.size(); ++i) {
      if (subscribers[i]->LookAgain()) return i;
    }
    Deadline until = deadline;
    for (RingSubscriber* const one : subscribers) until = one->WakeTime(until);
    HostWait::Any(words, until);
    for (RingSubscriber* const one : subscribers) one->TryPartsAgain();
    spin.Slept();
    // Not only when that says so: bells may ring for no reason.
    if (deadline.HasPassed()) {
      ready = Look(subscribers);
      if (ready.has_value()) return *ready;
      return NoMessageError();
    }
  }
}

}  // namespace shmd
