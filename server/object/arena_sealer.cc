#include "server/object/arena_sealer.h"

#include <utility>

namespace shmd {

void ArenaSealer::Seal(const SessionId& session, EntryPtr arena, Done done) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return;
  jobs_[session].push_back({std::move(arena), std::move(done)});
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void ArenaSealer::Stop() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

bool ArenaSealer::Take(Job* job) {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !jobs_.empty();
  };
  absl::MutexLock lock(&mutex_, absl::Condition(&ready));
  if (stopping_) return false;
  auto next = jobs_.upper_bound(served_last_);
  if (next == jobs_.end()) next = jobs_.begin();
  served_last_ = next->first;
  *job = std::move(next->second.front());
  next->second.pop_front();
  if (next->second.empty()) jobs_.erase(next);
  return true;
}

void ArenaSealer::Run() {
  Job job;
  while (Take(&job)) {
    job.done(segments_->SealReserved(job.arena));
    job = {};
  }
}

}  // namespace shmd
