#include "shm/channel/wait_any.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/channel/host_wait.h"
#include "shm/channel/member_parts.h"

namespace shmd {
namespace {

constexpr uint32_t kSpins = 200;

std::optional<size_t> Spin(absl::Span<RingSubscriber* const> subscribers) {
  const uint32_t spins = std::min(kSpins, HostWait::MaxSpins());
  for (uint32_t i = 0; i <= spins; ++i) {
    for (size_t j = 0; j < subscribers.size(); ++j) {
      if (subscribers[j]->SpinOnce()) return j;
    }
    HostWait::Pause();
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<size_t> WaitAny(absl::Span<RingSubscriber* const> subscribers,
                               absl::Time deadline) {
  for (;;) {
    if (const std::optional<size_t> ready = Spin(subscribers)) return *ready;
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
    HostWait::Any(words, deadline);
    // Not only when that says so: bells may ring for no reason.
    if (absl::Now() >= deadline) {
      if (const std::optional<size_t> ready = Spin(subscribers)) return *ready;
      return NoMessageError();
    }
  }
}

}  // namespace shmd
