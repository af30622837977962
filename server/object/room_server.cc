#include "server/object/room_server.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

// How often those are tried again for whom nothing could go; longer where it
// takes long to look.
constexpr absl::Duration kTriedAgain = absl::Milliseconds(5);
constexpr int kPausesPerAttempt = 10;

absl::Status NothingCanGo() {
  return Error(absl::StatusCode::kResourceExhausted, reason::kObjectsInUse,
               "there is no memory, and nothing that could make room");
}

absl::Status Draining() {
  return Error(absl::StatusCode::kUnavailable, reason::kServerDraining,
               "the daemon is stopping");
}

}  // namespace

RoomServer::RoomServer(Attempt attempt)
    : attempt_(std::move(attempt)), thread_([this] { Run(); }) {}

RoomServer::~RoomServer() { Drain(); }

void RoomServer::Push(RoomRequest request,
                      std::function<void(const Result&)> done) {
  const absl::Time deadline = absl::Now() + request.wait;
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      new_.push_back({std::move(request), deadline, std::move(done)});
      return;
    }
  }
  done(Draining());
}

void RoomServer::Drain() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool RoomServer::TakeNew(absl::Duration longest, std::list<Waiting>* waiting) {
  absl::MutexLock lock(&mutex_);
  const auto has_news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !new_.empty() || stopping_;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&has_news), longest);
  // Who has just come is not to wait for those for whom nothing could go.
  waiting->splice(waiting->begin(), new_);
  return !stopping_;
}

void RoomServer::Run() {
  std::list<Waiting> waiting;
  absl::Duration pause = absl::InfiniteDuration();
  while (TakeNew(pause, &waiting)) {
    const absl::Time begun = absl::Now();
    for (auto one = waiting.begin(); one != waiting.end();) {
      const std::optional<Result> result = attempt_(one->request);
      if (result.has_value()) {
        one->done(*result);
      } else if (absl::Now() >= one->deadline) {
        one->done(NothingCanGo());
      } else {
        ++one;
        continue;
      }
      one = waiting.erase(one);
    }
    const absl::Duration took = absl::Now() - begun;
    pause = waiting.empty() ? absl::InfiniteDuration()
                            : std::max(kTriedAgain, took * kPausesPerAttempt);
    for (const Waiting& one : waiting) {
      pause = std::min(
          pause, std::max(one.deadline - absl::Now(), absl::ZeroDuration()));
    }
  }
  for (const Waiting& one : waiting) one.done(Draining());
}

}  // namespace shmd
