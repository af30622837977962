#include "server/store/segment_record.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/store/journal_file.h"
#include "server/store/record.pb.h"
#include "server/store/record_bytes.h"

namespace shmd {
namespace {

bool HasSession(const Segment& segment) {
  return segment.lifetime != Lifetime::kUntilDeleted ||
         segment.role == SegmentRole::kArena;
}

Error Damaged(absl::string_view what) {
  return StoreFailed("read a segment's record",
                     absl::StrCat("its ", what, " is damaged"));
}

void FillObject(const ObjectName& object, store::ObjectRecord* record) {
  record->set_backend(static_cast<uint32_t>(object.backend));
  record->set_posix_name(object.posix_name);
  record->set_sysv_key(object.sysv_key);
  record->set_sysv_id(object.sysv_id);
  record->set_file_root(object.file_root);
  record->set_file_path(object.file_path);
  record->set_device(object.device);
  record->set_inode(object.inode);
  record->set_file_system(object.file_system);
}

void FillOptions(const SegmentOptions& options, store::OptionsRecord* record) {
  record->set_size_bytes(options.size_bytes);
  record->set_page_size_bytes(options.page_size_bytes);
  record->set_allocation(static_cast<uint32_t>(options.allocation));
  record->set_populate(options.populate);
  record->set_lock_in_memory(options.lock_in_memory);
  record->set_resizable(options.resizable);
  record->set_revocable(options.revocable);
  record->set_mode(options.mode);
  record->set_owner(options.owner);
  record->set_group(options.group);
  record->set_numa_mode(static_cast<uint32_t>(options.numa.mode));
  for (const uint32_t node : options.numa.nodes) record->add_numa_nodes(node);
  record->set_huge_page_advice(static_cast<uint32_t>(options.huge_page_advice));
  record->set_seal_policy(static_cast<uint32_t>(options.seal_policy));
  record->set_file_path(options.file_path);
}

// A value of an enum whose last is `last`.
template <typename Enum>
bool Read(uint32_t number, Enum last, Enum* value) {
  *value = static_cast<Enum>(number);
  return number <= static_cast<uint32_t>(last);
}

absl::Status ReadObject(const store::ObjectRecord& record, ObjectName* object) {
  if (!Read(record.backend(), BackendKind::kMappedFile, &object->backend)) {
    return Damaged("backend");
  }
  object->posix_name = record.posix_name();
  object->sysv_key = record.sysv_key();
  object->sysv_id = record.sysv_id();
  object->file_root = record.file_root();
  object->file_path = record.file_path();
  object->device = record.device();
  object->inode = record.inode();
  object->file_system = record.file_system();
  return absl::OkStatus();
}

absl::Status ReadOptions(const store::OptionsRecord& record,
                         SegmentOptions* options) {
  options->size_bytes = record.size_bytes();
  options->page_size_bytes = record.page_size_bytes();
  if (options->size_bytes == 0 || options->page_size_bytes == 0) {
    return Damaged("size");
  }
  if (!Read(record.allocation(), Allocation::kReserved, &options->allocation)) {
    return Damaged("allocation");
  }
  options->populate = record.populate();
  options->lock_in_memory = record.lock_in_memory();
  options->resizable = record.resizable();
  options->revocable = record.revocable();
  options->mode = record.mode();
  options->owner = record.owner();
  options->group = record.group();
  if (!Read(record.numa_mode(), NumaMode::kPreferred, &options->numa.mode)) {
    return Damaged("NUMA mode");
  }
  options->numa.nodes.assign(record.numa_nodes().begin(),
                             record.numa_nodes().end());
  if (!Read(record.huge_page_advice(), HugePageAdvice::kUnwanted,
            &options->huge_page_advice)) {
    return Damaged("huge page advice");
  }
  if (!Read(record.seal_policy(), SealPolicy::kNeverSealed,
            &options->seal_policy)) {
    return Damaged("seal policy");
  }
  options->file_path = record.file_path();
  return absl::OkStatus();
}

}  // namespace

Change PutOf(const StoredSegment& stored) {
  const Segment& segment = stored.segment;
  store::SegmentRecord record;
  record.set_name_space(segment.name.name_space);
  record.set_id(segment.name.id);
  record.set_generation(segment.generation);
  record.set_state(static_cast<uint32_t>(segment.state));
  record.set_adopted(segment.adopted);
  record.set_create_time_ns(absl::ToUnixNanos(segment.create_time));
  if (segment.expire_time.has_value()) {
    record.set_expire_time_ns(absl::ToUnixNanos(*segment.expire_time));
  }
  if (segment.lease_ttl.has_value()) {
    record.set_lease_ttl_ns(absl::ToInt64Nanoseconds(*segment.lease_ttl));
  }
  record.set_role(static_cast<uint32_t>(segment.role));
  if (HasSession(segment)) {
    record.set_lifetime(static_cast<uint32_t>(segment.lifetime));
    record.set_owner_session(ToBytes(segment.owner_session));
  }
  for (const auto& [key, value] : segment.labels) {
    (*record.mutable_labels())[key] = value;
  }
  FillObject(stored.object, record.mutable_object());
  FillOptions(segment.options, record.mutable_options());
  return {RecordKind::kSegment, ToBytes(segment.uid),
          record.SerializeAsString()};
}

Change RemovalOf(const Uid& uid) {
  return {RecordKind::kSegment, ToBytes(uid), std::nullopt};
}

absl::StatusOr<StoredSegment> ParseSegmentRecord(absl::string_view key,
                                                 absl::string_view value) {
  StoredSegment stored;
  Segment& segment = stored.segment;
  store::SegmentRecord record;
  if (!FromBytes(key, &segment.uid)) return Damaged("uid");
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Damaged("value");
  }
  segment.name = {record.name_space(), record.id()};
  if (segment.name.name_space.empty() || segment.name.id.empty()) {
    return Damaged("name");
  }
  segment.generation = record.generation();
  if (!Read(record.state(), SegmentState::kSealed, &segment.state)) {
    return Damaged("state");
  }
  segment.adopted = record.adopted();
  segment.create_time = absl::FromUnixNanos(record.create_time_ns());
  if (record.has_expire_time_ns()) {
    segment.expire_time = absl::FromUnixNanos(record.expire_time_ns());
  }
  if (record.has_lease_ttl_ns()) {
    segment.lease_ttl = absl::Nanoseconds(record.lease_ttl_ns());
  }
  if (!Read(record.lifetime(), Lifetime::kSessionUntilSealed,
            &segment.lifetime)) {
    return Damaged("lifetime");
  }
  if (!Read(record.role(), SegmentRole::kSyncPrimitive, &segment.role)) {
    return Damaged("role");
  }
  if (HasSession(segment) &&
      !FromBytes(record.owner_session(), &segment.owner_session)) {
    return Damaged("session");
  }
  segment.labels = {record.labels().begin(), record.labels().end()};
  RETURN_IF_ERROR(ReadObject(record.object(), &stored.object));
  RETURN_IF_ERROR(ReadOptions(record.options(), &segment.options));
  segment.options.backend = stored.object.backend;
  segment.options.posix_name = stored.object.posix_name;
  segment.options.sysv_key = stored.object.sysv_key;
  return stored;
}

Durability DurabilityOf(const ObjectName& object) {
  return object.backend == BackendKind::kMappedFile ? Durability::kPowerLoss
                                                    : Durability::kDaemonDeath;
}

Durability DurabilityOf(absl::Span<const StoredSegment> stored) {
  for (const StoredSegment& one : stored) {
    if (DurabilityOf(one.object) == Durability::kPowerLoss) {
      return Durability::kPowerLoss;
    }
  }
  return Durability::kDaemonDeath;
}

}  // namespace shmd
