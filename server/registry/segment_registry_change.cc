// Changes to a segment that exists.

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"

namespace shmd {
namespace {

absl::Status CheckEtag(const Segment& segment, const std::string& etag) {
  if (etag.empty() || etag == EtagOf(segment)) return absl::OkStatus();
  return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
               "the segment was changed since; read it again")
      .With("name", segment.name.ToString());
}

Error NotResizable(absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kNotResizable,
               why);
}

}  // namespace

absl::StatusOr<SegmentView> SegmentRegistry::Managed(const Caller& caller,
                                                     const SegmentName& name,
                                                     const std::string& etag) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const EntryPtr entry, FindEntry(name));
  if (!MayManage(caller, entry->segment->ownership())) {
    return CallerNotAllowed(caller);
  }
  RETURN_IF_ERROR(CheckEtag(*entry->segment, etag));
  return ViewOf(entry);
}

absl::StatusOr<SegmentView> SegmentRegistry::Republish(
    const EntryPtr& entry, std::shared_ptr<Segment> changed) {
  if (changed->options.backend != BackendKind::kMemfd) {
    const StoredSegment stored{*changed, entry->object.name};
    RETURN_IF_ERROR(parts_.store->Put(absl::MakeConstSpan(&stored, 1)));
  }
  absl::MutexLock lock(&mutex_);
  if (entry->claimed) {
    return Error(absl::StatusCode::kNotFound, reason::kSegmentNotFound,
                 "the segment was removed meanwhile");
  }
  expiries_.Set(changed->uid,
                changed->expire_at.value_or(absl::InfiniteDuration()));
  parts_.events->Append(EventType::kUpdated, changed, entry->segment);
  entry->segment = std::move(changed);
  return ViewOf(entry);
}

absl::Status SegmentRegistry::ApplyUpdate(const Caller& caller,
                                          const UpdateCommand& command,
                                          Segment* segment) const {
  if (command.labels.has_value()) segment->labels = *command.labels;
  if (command.label_changes.has_value()) {
    for (const auto& [key, value] : *command.label_changes) {
      if (value.has_value()) {
        segment->labels[key] = *value;
      } else {
        segment->labels.erase(key);
      }
    }
  }
  RETURN_IF_ERROR(CheckLabels(segment->labels));
  SegmentOptions& options = segment->options;
  if (command.owner.has_value() || command.group.has_value()) {
    const uid_t owner = command.owner.value_or(options.owner);
    const gid_t group = command.group.value_or(options.group);
    if (owner != options.owner || group != options.group) {
      RETURN_IF_ERROR(CheckNewOwnership(caller, owner, group));
    }
    options.owner = owner;
    options.group = group;
  }
  if (command.mode.has_value()) options.mode = *command.mode;
  if (command.expiration.has_value()) {
    RETURN_IF_ERROR(SetExpiration(*command.expiration, segment));
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentView> SegmentRegistry::Update(
    const Caller& caller, const UpdateCommand& command) {
  ASSIGN_OR_RETURN(SegmentView view, Managed(caller, command.name, ""));
  absl::MutexLock operation(&view.entry->operation);
  // Again, now that nobody else can change it.
  ASSIGN_OR_RETURN(view, Managed(caller, command.name, command.etag));
  auto changed = std::make_shared<Segment>(*view.segment);
  RETURN_IF_ERROR(ApplyUpdate(caller, command, changed.get()));
  const SegmentOptions& before = view.segment->options;
  const SegmentOptions& after = changed->options;
  const bool ownership_changes = before.mode != after.mode ||
                                 before.owner != after.owner ||
                                 before.group != after.group;
  const Backend& backend = BackendOf(*changed);
  if (ownership_changes) {
    RETURN_IF_ERROR(backend.SetOwnership(view.entry->object, after.mode,
                                         after.owner, after.group));
  }
  absl::StatusOr<SegmentView> published = Republish(view.entry, changed);
  if (!published.ok() && ownership_changes) {
    backend
        .SetOwnership(view.entry->object, before.mode, before.owner,
                      before.group)
        .IgnoreError();
  }
  return published;
}

absl::StatusOr<SegmentView> SegmentRegistry::Seal(const Caller& caller,
                                                  const SegmentName& name,
                                                  const std::string& etag,
                                                  SealExtent extent) {
  ASSIGN_OR_RETURN(SegmentView view, Managed(caller, name, ""));
  absl::MutexLock operation(&view.entry->operation);
  ASSIGN_OR_RETURN(view, Managed(caller, name, etag));
  const SegmentState wanted = extent == SealExtent::kAllWrites
                                  ? SegmentState::kSealed
                                  : SegmentState::kClosedToWriters;
  if (view.segment->state >= wanted) return view;
  RETURN_IF_ERROR(BackendOf(*view.segment).Seal(view.entry->object, extent));
  auto changed = std::make_shared<Segment>(*view.segment);
  changed->state = wanted;
  return Republish(view.entry, changed);
}

absl::StatusOr<SegmentView> SegmentRegistry::Resize(const Caller& caller,
                                                    const SegmentName& name,
                                                    const std::string& etag,
                                                    uint64_t size_bytes) {
  ASSIGN_OR_RETURN(SegmentView view, Managed(caller, name, ""));
  absl::MutexLock operation(&view.entry->operation);
  ASSIGN_OR_RETURN(view, Managed(caller, name, etag));
  const SegmentOptions& before = view.segment->options;
  if (!before.resizable) {
    return NotResizable("the segment was not created as resizable");
  }
  if (view.segment->state == SegmentState::kSealed) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentSealed,
                 "the segment is sealed");
  }
  if (size_bytes % before.page_size_bytes != 0 &&
      before.page_size_bytes > BasePageSizeBytes()) {
    return InvalidField("size_bytes", reason::kPageSizeMismatch,
                        "is no multiple of the page size");
  }
  if (size_bytes < before.size_bytes) {
    if (before.backend == BackendKind::kMemfd) {
      return NotResizable("a memfd segment can only grow");
    }
    if (view.attachments > 0) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentInUse,
                   "to shrink it would crash those who have it mapped")
          .With("attachments", view.attachments);
    }
  }
  auto changed = std::make_shared<Segment>(*view.segment);
  changed->options.size_bytes = size_bytes;
  const Budget::Use old_use = UseOf(before);
  Budget::Use new_use = UseOf(changed->options);
  // Only the difference is asked for, so that a segment can grow into the last
  // of the budget.
  Budget::Use more;
  if (new_use.bytes > old_use.bytes) {
    more.bytes = new_use.bytes - old_use.bytes;
    if (new_use.memory_bytes > 0) more.memory_bytes = more.bytes;
  }
  RETURN_IF_ERROR(budget_.Take(more));
  const Backend& backend = BackendOf(*changed);
  absl::Status status;
  {
    absl::MutexLock lock(&reservation_);
    status = backend.Resize(view.entry->object, size_bytes, before.allocation);
  }
  if (!status.ok()) {
    budget_.GiveBack(more);
    return status;
  }
  // The kernel's object has its new size now, whatever the store says: the
  // budget stays as it is.
  absl::StatusOr<SegmentView> published = Republish(view.entry, changed);
  if (new_use.bytes < old_use.bytes) {
    Budget::Use less;
    less.bytes = old_use.bytes - new_use.bytes;
    if (new_use.memory_bytes > 0) less.memory_bytes = less.bytes;
    budget_.GiveBack(less);
  }
  return published;
}

absl::Status SegmentRegistry::Flush(const Caller& caller,
                                    const SegmentName& name, FlushMode mode,
                                    uint64_t offset_bytes,
                                    uint64_t length_bytes) {
  ASSIGN_OR_RETURN(const SegmentView view,
                   Accessible(caller, name, Access::kReadWrite));
  ASSIGN_OR_RETURN(const uint64_t length,
                   ResolveLength(view.segment->options.size_bytes, offset_bytes,
                                 length_bytes));
  return BackendOf(*view.segment)
      .Flush(view.entry->object, mode, offset_bytes, length);
}

}  // namespace shmd
