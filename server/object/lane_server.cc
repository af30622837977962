#include "server/object/lane_server.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shm/lane/host_sleep.h"

namespace shmd {
namespace {

// Longer than a program takes between two submissions of one piece of work, the
// filling of some MiB among it; shorter than anybody would notice on a bill.
constexpr absl::Duration kSpin = absl::Microseconds(150);
// Between two looks at nothing: the first come one after another, the later
// ones leave the processor's core to its other thread, which may be who fills.
constexpr int kMaxPauses = 8;
constexpr absl::Duration kLongestTurn = absl::Milliseconds(5);

}  // namespace

LaneServer::LaneServer(ObjectRegistry* objects)
    : objects_(objects), thread_([this] { Run(); }) {}

LaneServer::~LaneServer() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
  // What is sealed wakes us.
  objects_->StopWaking();
}

void LaneServer::Rang(const SessionId& session) {
  absl::MutexLock lock(&mutex_);
  rang_.push_back(session);
  has_rung_.store(true, std::memory_order_release);
}

void LaneServer::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
}

void LaneServer::TakeRang(
    const std::vector<std::shared_ptr<ObjectTable>>& tables) {
  if (!has_rung_.load(std::memory_order_acquire)) return;
  std::vector<SessionId> rang;
  {
    absl::MutexLock lock(&mutex_);
    rang.swap(rang_);
    has_rung_.store(false, std::memory_order_relaxed);
  }
  for (const SessionId& session : rang) {
    for (const auto& table : tables) table->Rang(session);
  }
}

bool LaneServer::Sleep(absl::Duration longest) {
  absl::MutexLock lock(&mutex_);
  const auto awake = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !rang_.empty() || woken_ || stopping_;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&awake), longest);
  woken_ = false;
  return !stopping_;
}

bool LaneServer::ServeUntilIdle() {
  const std::vector<std::shared_ptr<ObjectTable>> tables = objects_->Tables();
  absl::Time idle_at = absl::Now() + kSpin;
  // A busy session must not keep what is due waiting.
  const absl::Time due_at = absl::Now() + kLongestTurn;
  int pauses = 0;
  for (;;) {
    TakeRang(tables);
    bool served = false;
    for (const auto& table : tables) served = table->Serve() || served;
    const absl::Time now = absl::Now();
    if (now >= due_at) return false;
    if (served) {
      idle_at = now + kSpin;
      pauses = 0;
    } else if (now < idle_at) {
      pauses = std::min(pauses + 1, kMaxPauses);
      for (int i = 0; i < pauses; ++i) HostSleep::Pause();
    } else {
      bool asleep = true;
      for (const auto& table : tables) asleep = table->FallAsleep() && asleep;
      if (asleep) return true;
    }
  }
}

void LaneServer::Run() {
  for (;;) {
    const bool all_ask = ServeUntilIdle();
    const absl::Duration longest = objects_->DoDue();
    if (!Sleep(all_ask ? longest : absl::ZeroDuration())) return;
  }
}

}  // namespace shmd
