#include "server/rpc/segment_watch.h"

#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "server/rpc/segment_to_proto.h"
#include "server/rpc/status_to_grpc.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd {
namespace {

constexpr size_t kSegmentsPerPage = 64;

}  // namespace

SegmentWatch::SegmentWatch(WatchHub* hub, SegmentRegistry* registry,
                           ReplyWriter<v1::WatchSegmentsResponse>* writer,
                           std::shared_ptr<const Caller> caller,
                           std::string name_space, SegmentFilter filter)
    : hub_(hub),
      registry_(registry),
      writer_(writer),
      caller_(std::move(caller)),
      name_space_(std::move(name_space)),
      filter_(std::move(filter)) {}

void SegmentWatch::Begin(std::optional<uint64_t> revision) {
  {
    absl::MutexLock lock(&mutex_);
    listing_ = !revision.has_value();
    revision_ = revision.value_or(registry_->events().LastRevision());
  }
  Poke();
}

void SegmentWatch::Poke() {
  absl::MutexLock lock(&mutex_);
  if (writing_ || finished_) return;
  const absl::StatusOr<bool> next = Next();
  if (!next.ok()) {
    finished_ = true;
    writer_->Finish(ToGrpcStatus(next.status()));
  } else if (*next) {
    writing_ = true;
    writer_->StartWrite(response_);
  }
}

void SegmentWatch::End(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (finished_) return;
  finished_ = true;
  writer_->Finish(ToGrpcStatus(status));
}

void SegmentWatch::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) {
      if (!finished_) writer_->Finish(grpc::Status::CANCELLED);
      finished_ = true;
      return;
    }
  }
  Poke();
}

void SegmentWatch::OnCancel() { End(absl::CancelledError()); }

void SegmentWatch::OnDone() {
  hub_->Forget(this);
  delete this;
}

bool SegmentWatch::Sees(const SegmentPtr& segment) const {
  return segment != nullptr && segment->name.name_space == name_space_ &&
         filter_.Matches(*segment) &&
         MayAccess(*caller_, segment->ownership(), Access::kRead);
}

void SegmentWatch::Fill(v1::WatchSegmentsResponse::Type type,
                        const SegmentPtr& segment) {
  response_.Clear();
  response_.set_type(type);
  if (segment != nullptr) SegmentToProto(*segment, response_.mutable_segment());
  if (type != v1::WatchSegmentsResponse::EXISTING) {
    response_.set_resume_token(registry_->events().Token(revision_));
  }
}

absl::StatusOr<bool> SegmentWatch::Next() {
  if (listing_) return NextExisting();
  return NextChange();
}

absl::StatusOr<bool> SegmentWatch::NextExisting() {
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
    Fill(v1::WatchSegmentsResponse::SYNCED, nullptr);
    return true;
  }
  const SegmentPtr segment = page_.front();
  page_.pop_front();
  listed_to_ = segment->name.id;
  if (segment->revision > revision_) {
    listed_ahead_[segment->uid] = segment->revision;
  }
  Fill(v1::WatchSegmentsResponse::EXISTING, segment);
  return true;
}

absl::StatusOr<bool> SegmentWatch::NextChange() {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<SegmentEvent> event,
                     registry_->events().NextAfter(revision_));
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
        Fill(v1::WatchSegmentsResponse::CREATED, event->segment);
        return true;
      case EventType::kUpdated: {
        const bool saw = Sees(event->previous);
        const bool sees = Sees(event->segment);
        if (!saw && !sees) continue;
        // What it has become is not for those who may no longer read it.
        Fill(!sees  ? v1::WatchSegmentsResponse::DELETED
             : !saw ? v1::WatchSegmentsResponse::CREATED
                    : v1::WatchSegmentsResponse::UPDATED,
             sees ? event->segment : event->previous);
        return true;
      }
      case EventType::kDeleted:
        if (!Sees(event->previous)) continue;
        Fill(v1::WatchSegmentsResponse::DELETED, event->segment);
        return true;
    }
  }
}

}  // namespace shmd
