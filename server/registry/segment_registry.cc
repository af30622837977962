#include "server/registry/segment_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/mapping.h"

namespace shmd {
namespace {

constexpr size_t kRememberedRequests = 65536;

bool IsWritable(const Segment& segment) {
  return segment.state == SegmentState::kActive;
}

// The one of that name, also when it is being removed; nullptr for none.
EntryPtr FindIn(const absl::btree_map<std::string, EntryPtr>& by_name,
                const SegmentName& name) {
  const auto found = by_name.find(IndexKey(name).view());
  return found == by_name.end() ? nullptr : found->second;
}

MapOptions WindowOf(const Segment& segment, uint64_t offset_bytes,
                    uint64_t length_bytes) {
  MapOptions window;
  window.size_bytes = segment.options.size_bytes;
  window.page_size_bytes = segment.options.page_size_bytes;
  // Mappings start at an aligned place; the rest is skipped.
  window.offset_bytes = offset_bytes / 16 * 16;
  window.length_bytes = offset_bytes % 16 + length_bytes;
  return window;
}

absl::Status CheckPeek(absl::string_view field, uint64_t length_bytes) {
  if (length_bytes <= kMaxPeekBytes) return absl::OkStatus();
  return InvalidField(field, reason::kPeekTooLarge,
                      "an RPC moves at most 65536 bytes; attach instead")
      .With("requested", length_bytes);
}

}  // namespace

Error SegmentNotFound() {
  return Error(absl::StatusCode::kNotFound, reason::kSegmentNotFound,
               "there is no such segment");
}

std::string ObjectKey(const ObjectName& name) {
  switch (name.backend) {
    case BackendKind::kMemfd:
      return "";
    case BackendKind::kSysv:
      return absl::StrCat("sysv:", name.sysv_id);
    case BackendKind::kPosix:
    case BackendKind::kMappedFile:
      return absl::StrCat("inode:", name.device, ":", name.inode);
  }
  return "";
}

bool IsSpillArena(const SegmentOptions& options, SegmentRole role) {
  return role == SegmentRole::kArena &&
         options.backend == BackendKind::kMappedFile;
}

Budget::Use UseOf(const SegmentOptions& options, SegmentRole role) {
  Budget::Use use;
  if (IsSpillArena(options, role)) {
    use.spilled_bytes =
        RoundUpToPages(options.size_bytes, options.page_size_bytes);
    return use;
  }
  use.bytes = RoundUpToPages(options.size_bytes, options.page_size_bytes);
  if (options.backend != BackendKind::kMappedFile) use.memory_bytes = use.bytes;
  use.segments = 1;
  if (options.backend == BackendKind::kMemfd) {
    // Of an arena also the one that its readers share.
    use.descriptors = role == SegmentRole::kArena ? 2 : 1;
  }
  if (options.page_size_bytes > BasePageSizeBytes()) {
    use.huge_page_bytes = use.bytes;
  }
  return use;
}

Amounts AmountsOf(const Budget::Use& use) {
  Amounts amounts;
  amounts.bytes = use.bytes;
  amounts.segments = use.segments;
  amounts.descriptors = use.descriptors;
  amounts.huge_page_bytes = use.huge_page_bytes;
  amounts.spilled_bytes = use.spilled_bytes;
  return amounts;
}

std::string EtagOf(const Segment& segment) {
  return absl::StrCat(absl::Hex(segment.revision));
}

absl::Status CheckEtag(const Segment& segment, const std::string& etag) {
  if (etag.empty() || etag == EtagOf(segment)) return absl::OkStatus();
  return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
               "the segment was changed since; read it again")
      .With("name", segment.name.ToString());
}

absl::Status SegmentReserved(const Segment& segment) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentReserved,
               "the segment serves objects, channels or locks, and is the "
               "daemon's to change")
      .With("name", segment.name.ToString());
}

absl::Status CheckNotSealed(const Segment& segment) {
  if (IsWritable(segment)) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentSealed,
               "the segment is sealed");
}

absl::Status CheckWritable(const Segment& segment) {
  if (segment.role == SegmentRole::kDirectory ||
      segment.role == SegmentRole::kAnswers ||
      segment.role == SegmentRole::kChannel) {
    return SegmentReserved(segment);
  }
  return CheckNotSealed(segment);
}

absl::StatusOr<uint64_t> ResolveLength(uint64_t size_bytes,
                                       uint64_t offset_bytes,
                                       uint64_t length_bytes) {
  // Differences, not sums: nothing can wrap.
  if (offset_bytes <= size_bytes) {
    const uint64_t left = size_bytes - offset_bytes;
    if (length_bytes == 0) return left;
    if (length_bytes <= left) return length_bytes;
  }
  return absl::StatusOr<uint64_t>(
      Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
            "the range does not lie within the segment")
          .With("offset_bytes", offset_bytes)
          .With("length_bytes", length_bytes)
          .With("size_bytes", size_bytes));
}

SegmentRegistry::SegmentRegistry(const Parts& parts,
                                 const Budget::Limits& limits)
    : parts_(parts),
      identity_(parts.store->identity()),
      signer_(identity_.key),
      budget_(limits),
      grants_(parts.store, parts.clock),
      next_generation_(identity_.first_generation),
      requests_(kRememberedRequests) {}

absl::Status SegmentRegistry::TakeUse(absl::string_view name_space, uid_t owner,
                                      const Budget::Use& use) {
  RETURN_IF_ERROR(budget_.Take(use));
  const absl::Status status =
      parts_.namespaces->Take(name_space, owner, AmountsOf(use));
  if (!status.ok()) budget_.GiveBack(use);
  return status;
}

void SegmentRegistry::GiveBackUse(absl::string_view name_space, uid_t owner,
                                  const Budget::Use& use) {
  budget_.GiveBack(use);
  parts_.namespaces->GiveBack(name_space, owner, AmountsOf(use));
}

absl::Status SegmentRegistry::TakeDescriptors(absl::string_view name_space,
                                              uid_t uid, uint64_t count) {
  Budget::Use use;
  use.descriptors = count;
  return TakeUse(name_space, uid, use);
}

void SegmentRegistry::GiveBackDescriptors(absl::string_view name_space,
                                          uid_t uid, uint64_t count) {
  Budget::Use use;
  use.descriptors = count;
  GiveBackUse(name_space, uid, use);
}

absl::StatusOr<EntryPtr> SegmentRegistry::FindEntry(
    const Caller& caller, const SegmentName& name) const {
  RETURN_IF_ERROR(CheckEntry(caller, name.name_space));
  return FindEntered(name);
}

absl::StatusOr<EntryPtr> SegmentRegistry::FindEntered(
    const SegmentName& name) const {
  EntryPtr entry = FindIn(by_name_, name);
  if (entry == nullptr || entry->claimed) {
    return absl::StatusOr<EntryPtr>(
        SegmentNotFound().With("name", name.ToString()));
  }
  return entry;
}

absl::StatusOr<EntryPtr> SegmentRegistry::FindManaged(
    const Caller& caller, const SegmentName& name) const {
  ASSIGN_OR_RETURN(EntryPtr entry, FindEntry(caller, name));
  if (!MayManage(caller, entry->segment->ownership())) {
    return CallerNotAllowed(caller);
  }
  if (entry->segment->role != SegmentRole::kOrdinary) {
    return SegmentReserved(*entry->segment);
  }
  return entry;
}

SegmentView SegmentRegistry::ViewOf(const EntryPtr& entry) const {
  return {entry, entry->segment, entry->attachments};
}

void SegmentRegistry::Index(const EntryPtr& entry) {
  const Segment& segment = *entry->segment;
  by_name_[IndexKey(segment.name).view()] = entry;
  by_uid_[segment.uid] = entry;
  const std::string object = ObjectKey(entry->object.name);
  if (!object.empty()) objects_[object] = segment.uid;
  if (segment.expire_at.has_value()) {
    expiries_.Set(segment.uid, *segment.expire_at);
  }
}

absl::StatusOr<SegmentView> SegmentRegistry::Accessible(const Caller& caller,
                                                        const SegmentName& name,
                                                        Access access) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const EntryPtr entry, FindEntry(caller, name));
  if (!MayAccess(caller, entry->segment->ownership(), access)) {
    return CallerNotAllowed(caller);
  }
  return ViewOf(entry);
}

absl::StatusOr<SegmentView> SegmentRegistry::Get(const Caller& caller,
                                                 const SegmentName& name) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckEntry(caller, name.name_space));
  // One that is being removed is there until its name is free.
  const EntryPtr entry = FindIn(by_name_, name);
  if (entry == nullptr) return SegmentNotFound().With("name", name.ToString());
  if (!MayAccess(caller, entry->segment->ownership(), Access::kRead)) {
    return CallerNotAllowed(caller);
  }
  return ViewOf(entry);
}

std::optional<BackendKind> SegmentRegistry::BackendOf(
    const SegmentName& name) const {
  absl::MutexLock lock(&mutex_);
  const EntryPtr entry = FindIn(by_name_, name);
  if (entry == nullptr) return std::nullopt;
  return entry->segment->options.backend;
}

absl::StatusOr<std::vector<SegmentView>> SegmentRegistry::List(
    const Caller& caller, const ListCommand& command) {
  RETURN_IF_ERROR(CheckEntry(caller, command.name_space));
  const std::string prefix = command.name_space + "/";
  std::vector<SegmentView> views;
  absl::MutexLock lock(&mutex_);
  auto at = command.after_id.empty()
                ? by_name_.lower_bound(prefix)
                : by_name_.upper_bound(prefix + command.after_id);
  for (; at != by_name_.end() && views.size() < command.limit; ++at) {
    if (at->first.compare(0, prefix.size(), prefix) != 0) break;
    if (at->second == nullptr) continue;
    const SegmentEntry& entry = *at->second;
    if (!MayAccess(caller, entry.segment->ownership(), Access::kRead) ||
        !command.filter.Matches(*entry.segment)) {
      continue;
    }
    views.push_back(ViewOf(at->second));
  }
  return views;
}

std::vector<SegmentView> SegmentRegistry::ListReserved() const {
  std::vector<SegmentView> views;
  absl::MutexLock lock(&mutex_);
  for (const auto& [uid, entry] : by_uid_) {
    if (entry->segment->role == SegmentRole::kOrdinary || entry->claimed) {
      continue;
    }
    views.push_back(ViewOf(entry));
  }
  return views;
}

std::vector<SegmentView> SegmentRegistry::ListOfGenerations(
    const absl::flat_hash_set<uint64_t>& generations) const {
  std::vector<SegmentView> views;
  absl::MutexLock lock(&mutex_);
  for (const auto& [uid, entry] : by_uid_) {
    if (generations.contains(entry->segment->generation)) {
      views.push_back(ViewOf(entry));
    }
  }
  return views;
}

absl::StatusOr<ObjectStatus> SegmentRegistry::Status(const SegmentView& view,
                                                     bool with_nodes) const {
  return BackendOf(*view.segment).Status(view.entry->object, with_nodes);
}

absl::StatusOr<ObjectStatus> SegmentRegistry::FreshStatus(
    const SegmentView& view) const {
  const std::optional<ObjectStatus> known =
      BackendOf(*view.segment)
          .FreshStatus(view.entry->object, view.segment->options);
  if (known.has_value()) return *known;
  return Status(view, /*with_nodes=*/false);
}

bool SegmentRegistry::IsSegment(const ObjectName& name) const {
  absl::MutexLock lock(&mutex_);
  return objects_.contains(ObjectKey(name));
}

absl::StatusOr<ObjectRef> SegmentRegistry::OpenObject(const SegmentView& view,
                                                      Access access) const {
  return BackendOf(*view.segment).Open(view.entry->object, access);
}

absl::StatusOr<std::string> SegmentRegistry::Read(const Caller& caller,
                                                  const SegmentName& name,
                                                  uint64_t offset_bytes,
                                                  uint64_t length_bytes) {
  RETURN_IF_ERROR(CheckPeek("length_bytes", length_bytes));
  ASSIGN_OR_RETURN(const SegmentView view,
                   Accessible(caller, name, Access::kRead));
  const Segment& segment = *view.segment;
  ASSIGN_OR_RETURN(uint64_t length, ResolveLength(segment.options.size_bytes,
                                                  offset_bytes, length_bytes));
  length = std::min(length, kMaxPeekBytes);
  std::string data(length, '\0');
  if (length == 0) return data;
  ASSIGN_OR_RETURN(const ObjectRef object,
                   BackendOf(segment).Open(view.entry->object, Access::kRead));
  ASSIGN_OR_RETURN(
      const ReadOnlyMapping mapping,
      ReadOnlyMapping::Map(object, WindowOf(segment, offset_bytes, length)));
  RETURN_IF_ERROR(mapping.Read(offset_bytes % 16, absl::MakeSpan(data)));
  return data;
}

absl::Status SegmentRegistry::Write(const Caller& caller,
                                    const SegmentName& name,
                                    uint64_t offset_bytes,
                                    absl::string_view data) {
  RETURN_IF_ERROR(CheckPeek("data", data.size()));
  ASSIGN_OR_RETURN(const SegmentView view,
                   Accessible(caller, name, Access::kReadWrite));
  const Segment& segment = *view.segment;
  RETURN_IF_ERROR(CheckWritable(segment));
  if (segment.role != SegmentRole::kOrdinary) return SegmentReserved(segment);
  RETURN_IF_ERROR(
      ResolveLength(segment.options.size_bytes, offset_bytes, data.size())
          .status());
  if (data.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const ObjectRef object,
      BackendOf(segment).Open(view.entry->object, Access::kReadWrite));
  ASSIGN_OR_RETURN(const WritableMapping mapping,
                   WritableMapping::Map(
                       object, WindowOf(segment, offset_bytes, data.size())));
  return mapping.Write(offset_bytes % 16, data);
}

}  // namespace shmd
