#include "server/rpc/watch_hub.h"

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/rpc/segment_watch.h"
#include "server/rpc/status_to_grpc.h"

namespace shmd {
namespace {

// A watch that ends before it began.
class Refusal final : public ReplySource {
 public:
  Refusal(ReplyWriter<v1::WatchSegmentsResponse>* writer,
          const absl::Status& status) {
    writer->Finish(ToGrpcStatus(status));
  }
  void OnWriteDone(bool) override {}
  void OnCancel() override {}
  void OnDone() override { delete this; }
};

Error Draining() {
  return Error(absl::StatusCode::kUnavailable, reason::kServerDraining,
               "the daemon is about to stop; watch again with the last token");
}

struct WatchParts {
  std::string name_space;
  SegmentFilter filter;
  std::optional<uint64_t> revision;
};

Amounts OneWatch() {
  Amounts amounts;
  amounts.watches = 1;
  return amounts;
}

absl::StatusOr<WatchParts> Decode(const Caller& caller,
                                  const v1::WatchSegmentsRequest& request,
                                  SegmentRegistry& registry) {
  const EventLog& events = registry.events();
  WatchParts parts;
  ASSIGN_OR_RETURN(parts.name_space,
                   ParseNamespaceName("parent", request.parent()));
  RETURN_IF_ERROR(registry.namespaces().CheckEntry(caller, parts.name_space));
  ASSIGN_OR_RETURN(parts.filter, SegmentFilter::Parse(request.filter()));
  if (!request.resume_token().empty()) {
    ASSIGN_OR_RETURN(parts.revision, events.ParseToken(request.resume_token()));
    // Told at once rather than at the first change.
    RETURN_IF_ERROR(events.NextAfter(*parts.revision).status());
  }
  return parts;
}

}  // namespace

WatchHub::WatchHub(SegmentRegistry* registry)
    : registry_(registry), thread_([this] { Run(); }) {}

WatchHub::~WatchHub() {
  Drain();
  thread_.join();
}

ReplySource* WatchHub::Start(
    absl::StatusOr<std::shared_ptr<const Caller>> caller,
    const v1::WatchSegmentsRequest& request,
    ReplyWriter<v1::WatchSegmentsResponse>* writer) {
  if (!caller.ok()) return new Refusal(writer, caller.status());
  absl::StatusOr<WatchParts> parts = Decode(**caller, request, *registry_);
  if (!parts.ok()) return new Refusal(writer, parts.status());
  Place place{parts->name_space, (*caller)->uid};
  auto* const watch =
      new SegmentWatch(this, registry_, writer, *std::move(caller),
                       std::move(parts->name_space), std::move(parts->filter));
  absl::Status admitted;
  {
    absl::MutexLock lock(&mutex_);
    admitted = Admit(place.name_space, place.uid);
    if (admitted.ok()) {
      // Before Run can see it.
      watch->Begin(parts->revision);
      watches_[watch] = std::move(place);
    }
  }
  if (!admitted.ok()) watch->End(admitted);
  return watch;
}

void WatchHub::Drain() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  for (const auto& [watch, place] : watches_) watch->End(Draining());
}

absl::Status WatchHub::Admit(const std::string& name_space, uid_t uid) {
  if (stopping_) return Draining();
  if (watches_.size() >= kMaxWatches) {
    return Exhausted(reason::kWatchLimitExceeded, "watches", 1, 0, "watches");
  }
  return registry_->namespaces().Take(name_space, uid, OneWatch());
}

void WatchHub::Forget(SegmentWatch* watch) {
  absl::MutexLock lock(&mutex_);
  // A refused one never had a place.
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  const Place& place = found->second;
  registry_->namespaces().GiveBack(place.name_space, place.uid, OneWatch());
  watches_.erase(found);
}

void WatchHub::AwaitWatches() {
  // To be woken by a change that nobody watches would cost each change more
  // than the change itself.
  const auto needed = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !watches_.empty();
  };
  absl::MutexLock lock(&mutex_, absl::Condition(&needed));
}

void WatchHub::Run() {
  uint64_t seen = 0;
  while (!stopping_) {
    AwaitWatches();
    // The time-out is for Drain, which changes nothing in the log.
    registry_->events().WaitBeyond(seen, absl::Milliseconds(200));
    const uint64_t last = registry_->events().LastRevision();
    if (last == seen) continue;
    seen = last;
    absl::MutexLock lock(&mutex_);
    for (const auto& [watch, place] : watches_) watch->Poke();
  }
}

}  // namespace shmd
