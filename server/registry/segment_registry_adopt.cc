// Adoption, and who may reach what has a path.

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"

namespace shmd {

absl::Status SegmentRegistry::CheckFolders(const Caller& caller,
                                           BackendKind backend,
                                           const std::string& file_path,
                                           bool is_new) const {
  return parts_.backends->Get(backend).CheckFolders(
      file_path, [&](const FolderPermissions& folder) {
        const unsigned wanted = is_new && folder.is_last ? 03 : 01;
        return ModeAllows(caller, {folder.owner, folder.group, folder.mode},
                          wanted)
                   ? absl::OkStatus()
                   : CallerNotAllowed(caller);
      });
}

absl::StatusOr<KernelObject> SegmentRegistry::AdoptObject(
    const Caller& caller, const AdoptOptions& options, SegmentOptions* found) {
  const Backend& backend = parts_.backends->Get(options.backend);
  RETURN_IF_ERROR(CheckFolders(caller, options.backend, options.file_path,
                               /*is_new=*/false));
  ASSIGN_OR_RETURN(KernelObject object, backend.Adopt(options));
  ASSIGN_OR_RETURN(const ObjectStatus status, backend.Status(object, false));
  if (!MayManage(caller, {status.owner, status.group, status.mode})) {
    return CallerNotAllowed(caller);
  }
  found->backend = options.backend;
  found->size_bytes = status.size_bytes;
  found->page_size_bytes = status.page_size_bytes;
  found->mode = status.mode & 0666;
  found->owner = status.owner;
  found->group = status.group;
  found->posix_name = object.name.posix_name;
  found->sysv_key = object.name.sysv_key;
  found->file_path = options.file_path;
  return object;
}

absl::StatusOr<SegmentView> SegmentRegistry::Adopt(const Caller& caller,
                                                   AdoptCommand command) {
  RETURN_IF_ERROR(CheckEntry(caller, command.name_space));
  auto segment = std::make_shared<Segment>();
  segment->adopted = true;
  segment->labels = std::move(command.labels);
  RETURN_IF_ERROR(SetExpiration(command.expiration, segment.get()));
  ASSIGN_OR_RETURN(KernelObject object,
                   AdoptObject(caller, command.options, &segment->options));
  auto entry = std::make_shared<SegmentEntry>(std::move(object));
  const std::string key = ObjectKey(entry->object.name);
  Pending pending;
  {
    absl::MutexLock lock(&mutex_);
    if (objects_.contains(key)) {
      return Error(absl::StatusCode::kAlreadyExists, reason::kObjectManaged,
                   "the object is a segment already");
    }
    ASSIGN_OR_RETURN(pending, Reserve(RandomUid(), command.name_space,
                                      command.id, segment->options));
    const absl::Status taken =
        TakeUse(pending.name.name_space, pending.owner, pending.use);
    if (!taken.ok()) {
      ForgetPending(pending);
      return taken;
    }
    // From here on nobody else can adopt it.
    objects_[key] = pending.uid;
  }
  segment->name = pending.name;
  segment->uid = pending.uid;
  segment->generation = pending.generation;
  segment->create_time = parts_.clock->WallTime();
  const StoredSegment stored{*segment, entry->object.name};
  const absl::Status recorded =
      PutSegments(*parts_.store, absl::MakeConstSpan(&stored, 1));
  if (!recorded.ok()) {
    absl::MutexLock lock(&mutex_);
    UnreserveLocked(absl::MakeConstSpan(&pending, 1));
    objects_.erase(key);
    return recorded;
  }
  Made made{{entry}, {segment}};
  return std::move(Publish(made, absl::MakeSpan(&pending, 1)).front());
}

}  // namespace shmd
