// Changes to a segment that exists.

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"

namespace shmd {
namespace {

Error NotResizable(absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kNotResizable,
               why);
}

absl::Status CheckResizable(const Segment& segment, uint64_t size_bytes) {
  const SegmentOptions& options = segment.options;
  if (!options.resizable) {
    return NotResizable("the segment was not created as resizable");
  }
  if (segment.state == SegmentState::kSealed) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentSealed,
                 "the segment is sealed");
  }
  if (size_bytes % options.page_size_bytes != 0 &&
      options.page_size_bytes > BasePageSizeBytes()) {
    return InvalidField("size_bytes", reason::kPageSizeMismatch,
                        "is no multiple of the page size");
  }
  if (size_bytes < options.size_bytes &&
      options.backend == BackendKind::kMemfd) {
    return NotResizable("a memfd segment can only grow")
        .With("size_bytes", options.size_bytes);
  }
  return absl::OkStatus();
}

// What the larger of two sizes of a segment takes beyond the smaller.
Budget::Use Difference(const SegmentOptions& larger,
                       const SegmentOptions& smaller) {
  Budget::Use use;
  use.bytes = UseOf(larger).bytes - UseOf(smaller).bytes;
  use.memory_bytes = UseOf(larger).memory_bytes - UseOf(smaller).memory_bytes;
  use.huge_page_bytes =
      UseOf(larger).huge_page_bytes - UseOf(smaller).huge_page_bytes;
  return use;
}

// Whether a change of `entry` may be made known; for the holder of the
// registry's mutex.
absl::Status CheckPublishable(const SegmentEntry& entry, bool unless_attached) {
  if (entry.claimed) {
    return Error(absl::StatusCode::kNotFound, reason::kSegmentNotFound,
                 "the segment was removed meanwhile");
  }
  if (unless_attached && entry.attachments > 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentInUse,
                 "to shrink it would crash those who have it mapped")
        .With("attachments", entry.attachments);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SegmentView> SegmentRegistry::Managed(const Caller& caller,
                                                     const SegmentName& name,
                                                     const std::string& etag) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const EntryPtr entry, FindManaged(caller, name));
  RETURN_IF_ERROR(CheckEtag(*entry->segment, etag));
  return ViewOf(entry);
}

absl::StatusOr<SegmentView> SegmentRegistry::Republish(
    const EntryPtr& entry, std::shared_ptr<Segment> changed,
    bool unless_attached) {
  SegmentPtr before;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckPublishable(*entry, unless_attached));
    before = entry->segment;
  }
  const bool is_stored = IsRecorded(*entry);
  const auto put = [&](const Segment& segment) {
    const StoredSegment stored{segment, entry->object.name};
    return PutSegments(*parts_.store, absl::MakeConstSpan(&stored, 1));
  };
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("change.record"));
  if (is_stored) RETURN_IF_ERROR(put(*changed));
  SHMD_FAILPOINT("change.recorded");
  absl::ReleasableMutexLock lock(&mutex_);
  // Again: the store has taken its time.
  absl::Status status = CheckPublishable(*entry, unless_attached);
  if (!status.ok()) {
    lock.Release();
    if (is_stored) put(*before).IgnoreError();
    return status;
  }
  expiries_.Set(changed->uid,
                changed->expire_at.value_or(absl::InfiniteDuration()));
  parts_.events->Append(EventType::kUpdated, changed, entry->segment);
  entry->segment = std::move(changed);
  SHMD_FAILPOINT("change.published");
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
  SHMD_FAILPOINT("update.applied");
  if (!ownership_changes) return Republish(view.entry, changed);
  const std::string& name_space = changed->name.name_space;
  const Amounts amounts = AmountsOf(UseOf(after));
  // Nobody removes it meanwhile: that takes `operation`.
  RETURN_IF_ERROR(
      parts_.namespaces->Move(name_space, before.owner, after.owner, amounts));
  const Backend& backend = BackendOf(*changed);
  absl::Status status = backend.SetOwnership(view.entry->object, after.mode,
                                             after.owner, after.group);
  SHMD_FAILPOINT("update.owned");
  if (status.ok()) {
    absl::StatusOr<SegmentView> published = Republish(view.entry, changed);
    if (published.ok()) return published;
    status = published.status();
  }
  // Also where it failed itself: of a file it may only not be on the disk.
  backend
      .SetOwnership(view.entry->object, before.mode, before.owner, before.group)
      .IgnoreError();
  parts_.namespaces->MoveAnyway(name_space, after.owner, before.owner, amounts);
  return status;
}

absl::StatusOr<SegmentView> SegmentRegistry::Seal(const Caller& caller,
                                                  const SegmentName& name,
                                                  const std::string& etag,
                                                  SealExtent extent) {
  ASSIGN_OR_RETURN(SegmentView view, Managed(caller, name, ""));
  absl::MutexLock operation(&view.entry->operation);
  ASSIGN_OR_RETURN(view, Managed(caller, name, etag));
  return SealHeld(view, extent);
}

absl::Status SegmentRegistry::SealReserved(const EntryPtr& entry) {
  absl::MutexLock operation(&entry->operation);
  SegmentView view;
  {
    absl::MutexLock lock(&mutex_);
    view = ViewOf(entry);
  }
  return SealHeld(view, SealExtent::kAllWrites).status();
}

absl::StatusOr<SegmentView> SegmentRegistry::SealHeld(const SegmentView& view,
                                                      SealExtent extent) {
  const SegmentState wanted = extent == SealExtent::kAllWrites
                                  ? SegmentState::kSealed
                                  : SegmentState::kClosedToWriters;
  if (view.segment->state >= wanted) return view;
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("seal.seal"));
  RETURN_IF_ERROR(BackendOf(*view.segment).Seal(view.entry->object, extent));
  SHMD_FAILPOINT("seal.sealed");
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
  RETURN_IF_ERROR(CheckResizable(*view.segment, size_bytes));
  auto changed = std::make_shared<Segment>(*view.segment);
  changed->options.size_bytes = size_bytes;
  return size_bytes < before.size_bytes ? Shrink(view, std::move(changed))
                                        : Grow(view, std::move(changed));
}

absl::StatusOr<SegmentView> SegmentRegistry::Grow(
    const SegmentView& view, std::shared_ptr<Segment> changed) {
  const SegmentOptions& before = view.segment->options;
  const SegmentOptions after = changed->options;
  // Only the difference is asked for, so that a segment can grow into the last
  // of the budget.
  const Budget::Use more = Difference(after, before);
  const std::string& name_space = view.segment->name.name_space;
  RETURN_IF_ERROR(TakeUse(name_space, before.owner, more));
  SHMD_FAILPOINT("grow.taken");
  const Backend& backend = BackendOf(*changed);
  absl::Status status;
  {
    absl::MutexLock lock(&reservation_);
    status = backend.Resize(view.entry->object, after);
  }
  SHMD_FAILPOINT("grow.resized");
  if (status.ok()) {
    absl::StatusOr<SegmentView> published =
        Republish(view.entry, std::move(changed));
    if (published.ok()) return published;
    status = published.status();
  }
  // Nobody has been told of the new size, which a file may have although it
  // could not be synced. A memfd keeps it: that ends here only because the
  // segment is being removed.
  backend.Resize(view.entry->object, before).IgnoreError();
  GiveBackUse(name_space, before.owner, more);
  return status;
}

absl::StatusOr<SegmentView> SegmentRegistry::Shrink(
    const SegmentView& view, std::shared_ptr<Segment> changed) {
  const SegmentOptions& before = view.segment->options;
  const SegmentOptions after = changed->options;
  // The new size comes first: who attaches meanwhile, or finds the record
  // after a crash, never counts on bytes that are no more.
  ASSIGN_OR_RETURN(
      SegmentView published,
      Republish(view.entry, std::move(changed), /*unless_attached=*/true));
  SHMD_FAILPOINT("shrink.recorded");
  const absl::Status status =
      BackendOf(*view.segment).Resize(view.entry->object, after);
  SHMD_FAILPOINT("shrink.resized");
  if (status.ok()) {
    GiveBackUse(view.segment->name.name_space, before.owner,
                Difference(before, after));
    return published;
  }
  // A file may be smaller already, and only not be so on the disk: then its
  // former size must not be promised again.
  const absl::StatusOr<ObjectStatus> now =
      BackendOf(*view.segment).Status(view.entry->object, false);
  auto restored = std::make_shared<Segment>(*published.segment);
  restored->options.size_bytes = before.size_bytes;
  // Should this fail as well, the segment has the smaller size, and what it
  // took beyond that goes back with it.
  if ((now.ok() && now->size_bytes < before.size_bytes) ||
      !Republish(view.entry, std::move(restored)).ok()) {
    GiveBackUse(view.segment->name.name_space, before.owner,
                Difference(before, after));
  }
  return status;
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
