#include "server/rpc/segment_watch.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status_macros.h"
#include "server/rpc/segment_to_proto.h"
#include "server/rpc/watch_stream.h"

namespace shmd {
namespace {

constexpr size_t kSegmentsPerPage = 64;

// What a request asks for.
struct WatchParts {
  std::unique_ptr<const EventLog::Reader> events;
  std::shared_ptr<const Caller> caller;
  std::string name_space;
  SegmentFilter filter;
  std::optional<uint64_t> revision;
};

absl::StatusOr<WatchParts> Decode(
    absl::StatusOr<std::shared_ptr<const Caller>> caller,
    const v1::WatchSegmentsRequest& request, SegmentRegistry& registry) {
  WatchParts parts;
  ASSIGN_OR_RETURN(parts.caller, std::move(caller));
  ASSIGN_OR_RETURN(parts.name_space,
                   ParseNamespaceName("parent", request.parent()));
  RETURN_IF_ERROR(
      registry.namespaces().CheckEntry(*parts.caller, parts.name_space));
  ASSIGN_OR_RETURN(parts.filter, SegmentFilter::Parse(request.filter()));
  // From here on no change is missed.
  parts.events = std::make_unique<EventLog::Reader>(&registry.events());
  if (!request.resume_token().empty()) {
    ASSIGN_OR_RETURN(parts.revision,
                     registry.events().ParseToken(request.resume_token()));
    // Told at once rather than at the first change.
    RETURN_IF_ERROR(parts.events->NextAfter(*parts.revision).status());
  }
  return parts;
}

// The source of a WatchStream.
class SegmentWatch {
 public:
  using Reply = v1::WatchSegmentsResponse;

  SegmentWatch(SegmentRegistry* registry, WatchParts parts)
      : registry_(registry),
        events_(std::move(parts.events)),
        caller_(std::move(parts.caller)),
        name_space_(std::move(parts.name_space)),
        filter_(std::move(parts.filter)),
        listing_(!parts.revision.has_value()),
        revision_(parts.revision.value_or(registry->events().LastRevision())) {}

  absl::StatusOr<bool> Next(Reply* reply) {
    return listing_ ? NextExisting(reply) : NextChange(reply);
  }

 private:
  absl::StatusOr<bool> NextExisting(v1::WatchSegmentsResponse* reply);
  absl::StatusOr<bool> NextChange(v1::WatchSegmentsResponse* reply);
  bool Sees(const SegmentPtr& segment) const;
  void Fill(v1::WatchSegmentsResponse::Type type, const SegmentPtr& segment,
            v1::WatchSegmentsResponse* reply) const;

  SegmentRegistry* const registry_;
  const std::unique_ptr<const EventLog::Reader> events_;
  const std::shared_ptr<const Caller> caller_;
  const std::string name_space_;
  const SegmentFilter filter_;

  bool listing_;
  uint64_t revision_;
  std::string listed_to_;
  std::deque<SegmentPtr> page_;
  // Segments that were listed in a state newer than revision_: what the log
  // tells of them up to there is old news.
  absl::flat_hash_map<Uid, uint64_t> listed_ahead_;
};

bool SegmentWatch::Sees(const SegmentPtr& segment) const {
  return segment != nullptr && segment->name.name_space == name_space_ &&
         filter_.Matches(*segment) &&
         MayAccess(*caller_, segment->ownership(), Access::kRead);
}

void SegmentWatch::Fill(v1::WatchSegmentsResponse::Type type,
                        const SegmentPtr& segment,
                        v1::WatchSegmentsResponse* reply) const {
  reply->Clear();
  reply->set_type(type);
  if (segment != nullptr) SegmentToProto(*segment, reply->mutable_segment());
  if (type != v1::WatchSegmentsResponse::EXISTING) {
    reply->set_resume_token(registry_->events().Token(revision_));
  }
}

absl::StatusOr<bool> SegmentWatch::NextExisting(
    v1::WatchSegmentsResponse* reply) {
  if (page_.empty()) {
    ListCommand command;
    command.name_space = name_space_;
    command.after_id = listed_to_;
    command.limit = kSegmentsPerPage;
    command.filter = filter_;
    ASSIGN_OR_RETURN(const std::vector<SegmentView> views,
                     registry_->List(*caller_, command));
    for (const SegmentView& view : views) page_.push_back(view.segment);
  }
  if (page_.empty()) {
    listing_ = false;
    Fill(v1::WatchSegmentsResponse::SYNCED, nullptr, reply);
    return true;
  }
  const SegmentPtr segment = page_.front();
  page_.pop_front();
  listed_to_ = segment->name.id;
  if (segment->revision > revision_) {
    listed_ahead_[segment->uid] = segment->revision;
  }
  Fill(v1::WatchSegmentsResponse::EXISTING, segment, reply);
  return true;
}

absl::StatusOr<bool> SegmentWatch::NextChange(
    v1::WatchSegmentsResponse* reply) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<SegmentEvent> event,
                     events_->NextAfter(revision_));
    if (!event.has_value()) return false;
    // Who may enter can change while somebody watches.
    RETURN_IF_ERROR(registry_->namespaces().CheckEntry(*caller_, name_space_));
    revision_ = event->revision;
    const auto ahead = listed_ahead_.find(event->segment->uid);
    if (ahead != listed_ahead_.end()) {
      if (event->revision <= ahead->second) continue;
      listed_ahead_.erase(ahead);
    }
    switch (event->type) {
      case EventType::kCreated:
        if (!Sees(event->segment)) continue;
        Fill(v1::WatchSegmentsResponse::CREATED, event->segment, reply);
        return true;
      case EventType::kUpdated: {
        const bool saw = Sees(event->previous);
        const bool sees = Sees(event->segment);
        if (!saw && !sees) continue;
        // What it has become is not for those who may no longer read it.
        Fill(!sees  ? v1::WatchSegmentsResponse::DELETED
             : !saw ? v1::WatchSegmentsResponse::CREATED
                    : v1::WatchSegmentsResponse::UPDATED,
             sees ? event->segment : event->previous, reply);
        return true;
      }
      case EventType::kDeleted:
        if (!Sees(event->previous)) continue;
        Fill(v1::WatchSegmentsResponse::DELETED, event->segment, reply);
        return true;
    }
  }
}

}  // namespace

ReplySource* WatchSegments(WatchHub* hub, SegmentRegistry* registry,
                           absl::StatusOr<std::shared_ptr<const Caller>> caller,
                           const v1::WatchSegmentsRequest& request,
                           ReplyWriter<v1::WatchSegmentsResponse>* writer) {
  absl::StatusOr<WatchParts> parts =
      Decode(std::move(caller), request, *registry);
  if (!parts.ok()) {
    return new RefusedWatch<v1::WatchSegmentsResponse>(writer, parts.status());
  }
  const std::string name_space = parts->name_space;
  const uid_t uid = parts->caller->uid;
  auto* const watch = new WatchStream<SegmentWatch>(
      hub, writer, std::make_unique<SegmentWatch>(registry, *std::move(parts)));
  hub->Add(watch, name_space, uid);
  return watch;
}

}  // namespace shmd
