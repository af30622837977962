#include "server/object/lane_server.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "shm/lane/host_sleep.h"
#include "shm/sys/futex.h"

namespace shmd {
namespace {

// The longest that it looks for the next submission: longer than programs that
// fill some MiB take between two; shorter than anybody would notice on a bill.
constexpr uint64_t kLongestSpinNs = 400'000;
// No session that submits just too late can have the others wait to be heard
// for long.
constexpr uint32_t kMostPaused = 63;
// Between two looks at nothing: the first come one after another, the later
// ones leave the processor's core to its other thread, which may be who fills.
constexpr int kMaxPauses = 8;
constexpr uint64_t kLongestTurnNs = 5'000'000;

}  // namespace

LaneServer::LaneServer(ObjectRegistry* objects)
    : objects_(objects),
      estimate_(kLongestSpinNs, kMostPaused),
      thread_([this] { Run(); }) {}

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

void LaneServer::Learn(uint64_t now_ns) {
  const uint64_t took_ns = now_ns - idle_since_ns_;
  if (has_slept_) {
    estimate_.Slept(took_ns, /*has_spun=*/spin_ns_ > 0);
  } else {
    estimate_.Came(took_ns);
  }
}

bool LaneServer::ServeUntilIdle() {
  const std::vector<std::shared_ptr<ObjectTable>> tables = objects_->Tables();
  // A busy session must not keep what is due waiting.
  const uint64_t due_ns = sys::MonotonicNs() + kLongestTurnNs;
  int pauses = 0;
  for (;;) {
    TakeRang(tables);
    bool served = false;
    for (const auto& table : tables) served = table->Serve() || served;
    const uint64_t now_ns = sys::MonotonicNs();
    if (served) {
      if (is_idle_) Learn(now_ns);
      is_idle_ = has_slept_ = false;
      pauses = 0;
    } else if (!is_idle_) {
      is_idle_ = true;
      idle_since_ns_ = now_ns;
      spin_ns_ = HostSleep::MaxSpins() > 0 ? estimate_.NextNs() : 0;
    }
    if (now_ns >= due_ns) return false;
    if (served) continue;
    if (now_ns - idle_since_ns_ < spin_ns_) {
      pauses = std::min(pauses + 1, kMaxPauses);
      for (int i = 0; i < pauses; ++i) HostSleep::Pause();
      continue;
    }
    bool asleep = true;
    for (const auto& table : tables) asleep = table->FallAsleep() && asleep;
    if (asleep) return true;
  }
}

void LaneServer::Run() {
  for (;;) {
    const bool all_ask = ServeUntilIdle();
    const absl::Duration longest = objects_->DoDue();
    has_slept_ = has_slept_ || all_ask;
    if (!Sleep(all_ask ? longest : absl::ZeroDuration())) return;
  }
}

}  // namespace shmd
