#include "server/rpc/watch_hub.h"

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

Error Draining() {
  return Error(absl::StatusCode::kUnavailable, reason::kServerDraining,
               "the daemon is about to stop; watch again with the last token");
}

Amounts OneWatch() {
  Amounts amounts;
  amounts.watches = 1;
  return amounts;
}

}  // namespace

WatchHub::WatchHub(NamespaceTable* namespaces, ChangeSignal* signal)
    : namespaces_(namespaces), signal_(signal), thread_([this] { Run(); }) {}

WatchHub::~WatchHub() {
  Drain();
  signal_->Stop();
  thread_.join();
}

void WatchHub::Add(Watch* watch, const std::string& name_space, uid_t uid) {
  Place place{name_space, uid};
  absl::Status admitted;
  {
    absl::MutexLock lock(&mutex_);
    admitted = Admit(place);
    if (admitted.ok()) {
      watches_[watch] = std::move(place);
      // To be woken by a change that nobody watches would cost each change
      // more than the change itself.
      signal_->SetWatched(true);
      // Before anybody can end it.
      watch->Poke();
    }
  }
  if (!admitted.ok()) watch->End(admitted);
}

void WatchHub::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  for (const auto& [watch, place] : watches_) watch->End(Draining());
}

absl::Status WatchHub::Admit(const Place& place) {
  if (draining_) return Draining();
  if (watches_.size() >= kMaxWatches) {
    return Exhausted(reason::kWatchLimitExceeded, "watches", 1, 0, "watches");
  }
  return namespaces_->Take(place.name_space, place.uid, OneWatch());
}

void WatchHub::Forget(Watch* watch) {
  absl::MutexLock lock(&mutex_);
  // A refused one never had a place.
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  const Place& place = found->second;
  namespaces_->GiveBack(place.name_space, place.uid, OneWatch());
  watches_.erase(found);
  if (watches_.empty()) signal_->SetWatched(false);
}

void WatchHub::Run() {
  while (signal_->Await()) {
    absl::MutexLock lock(&mutex_);
    for (const auto& [watch, place] : watches_) watch->Poke();
  }
}

}  // namespace shmd
