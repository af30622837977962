#include "client/cpp/proto_convert.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace shmd {
inline namespace client {
namespace {

v1::Segment::Backend BackendToProto(BackendKind kind) {
  switch (kind) {
    case BackendKind::kMemfd:
      return v1::Segment::MEMFD;
    case BackendKind::kPosix:
      return v1::Segment::POSIX;
    case BackendKind::kSysv:
      return v1::Segment::SYSV;
    case BackendKind::kMappedFile:
      return v1::Segment::MAPPED_FILE;
  }
  return v1::Segment::BACKEND_UNSPECIFIED;
}

SegmentState StateFromProto(v1::Segment::State state) {
  switch (state) {
    case v1::Segment::CREATING:
      return SegmentState::kCreating;
    case v1::Segment::ACTIVE:
      return SegmentState::kActive;
    case v1::Segment::CLOSED_TO_WRITERS:
      return SegmentState::kClosedToWriters;
    case v1::Segment::SEALED:
      return SegmentState::kSealed;
    case v1::Segment::DELETED:
      return SegmentState::kDeleted;
    default:
      return SegmentState::kUnspecified;
  }
}

void NumaToProto(const NumaPolicy& numa, v1::Segment& segment) {
  if (numa.mode == NumaMode::kNone && numa.nodes.empty()) return;
  // The two enums share their numbers.
  segment.mutable_numa_policy()->set_mode(
      static_cast<v1::NumaPolicy::Mode>(numa.mode));
  for (const uint32_t node : numa.nodes) {
    segment.mutable_numa_policy()->add_nodes(node);
  }
}

NumaPolicy NumaFromProto(const v1::NumaPolicy& numa) {
  NumaPolicy out;
  if (v1::NumaPolicy::Mode_IsValid(numa.mode())) {
    out.mode = static_cast<NumaMode>(numa.mode());
  }
  out.nodes.assign(numa.nodes().begin(), numa.nodes().end());
  return out;
}

v1::Segment::HugePageAdvice AdviceToProto(HugePageAdvice advice) {
  switch (advice) {
    case HugePageAdvice::kWanted:
      return v1::Segment::HUGE_PAGES_WANTED;
    case HugePageAdvice::kUnwanted:
      return v1::Segment::HUGE_PAGES_UNWANTED;
    case HugePageAdvice::kUnspecified:
      break;
  }
  return v1::Segment::HUGE_PAGE_ADVICE_UNSPECIFIED;
}

HugePageAdvice AdviceFromProto(v1::Segment::HugePageAdvice advice) {
  switch (advice) {
    case v1::Segment::HUGE_PAGES_WANTED:
      return HugePageAdvice::kWanted;
    case v1::Segment::HUGE_PAGES_UNWANTED:
      return HugePageAdvice::kUnwanted;
    default:
      return HugePageAdvice::kUnspecified;
  }
}

v1::Segment::Lifetime LifetimeToProto(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kSession:
      return v1::Segment::SESSION;
    case Lifetime::kSessionUntilSealed:
      return v1::Segment::SESSION_UNTIL_SEALED;
    case Lifetime::kUntilDeleted:
      break;
  }
  return v1::Segment::UNTIL_DELETED;
}

Lifetime LifetimeFromProto(v1::Segment::Lifetime lifetime) {
  switch (lifetime) {
    case v1::Segment::SESSION:
      return Lifetime::kSession;
    case v1::Segment::SESSION_UNTIL_SEALED:
      return Lifetime::kSessionUntilSealed;
    default:
      return Lifetime::kUntilDeleted;
  }
}

// What a spec to create and one to adopt have in common.
template <typename Spec>
void OriginToProto(const Spec& spec, v1::Segment& segment) {
  segment.set_backend(BackendToProto(spec.backend));
  segment.set_posix_name(spec.posix_name);
  segment.set_sysv_key(spec.sysv_key);
  segment.set_file_path(spec.file_path);
  segment.mutable_labels()->insert(spec.labels.begin(), spec.labels.end());
  if (spec.ttl.has_value()) {
    *segment.mutable_ttl() = DurationToProto(*spec.ttl);
  } else if (spec.expire_time.has_value()) {
    *segment.mutable_expire_time() = TimestampToProto(*spec.expire_time);
  }
}

SegmentStatus StatusOfProto(const v1::SegmentStatus& status) {
  SegmentStatus out;
  out.page_size_bytes = status.page_size_bytes();
  out.resident_bytes = status.resident_bytes();
  for (const v1::NodePages& pages : status.node_pages()) {
    out.node_pages.push_back({pages.node(), pages.pages()});
  }
  if (status.has_kernel_attach_count()) {
    out.kernel_attach_count = status.kernel_attach_count();
  }
  out.attachment_count = status.attachment_count();
  if (status.has_sysv_id()) out.sysv_id = status.sysv_id();
  out.locked_bytes = status.locked_bytes();
  out.seals.assign(status.seals().begin(), status.seals().end());
  return out;
}

}  // namespace

google::protobuf::Timestamp TimestampToProto(absl::Time time) {
  const absl::Duration since = time - absl::UnixEpoch();
  google::protobuf::Timestamp out;
  const int64_t seconds =
      absl::ToInt64Seconds(absl::Floor(since, absl::Seconds(1)));
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(since - absl::Seconds(seconds))));
  return out;
}

absl::Time TimeFromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

BackendKind BackendFromProto(v1::Segment::Backend backend) {
  switch (backend) {
    case v1::Segment::POSIX:
      return BackendKind::kPosix;
    case v1::Segment::SYSV:
      return BackendKind::kSysv;
    case v1::Segment::MAPPED_FILE:
      return BackendKind::kMappedFile;
    default:
      return BackendKind::kMemfd;
  }
}

google::protobuf::Duration DurationToProto(absl::Duration duration) {
  google::protobuf::Duration out;
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return out;
}

void SpecToProto(const SegmentSpec& spec, v1::CreateSegmentRequest& request) {
  request.set_segment_id(spec.id);
  request.set_request_id(spec.request_id);
  v1::Segment& segment = *request.mutable_segment();
  OriginToProto(spec, segment);
  segment.set_size_bytes(spec.size_bytes);
  segment.set_page_size_bytes(spec.page_size_bytes);
  if (spec.allocation.has_value()) {
    segment.set_allocation(*spec.allocation == Allocation::kReserved
                               ? v1::Segment::RESERVED
                               : v1::Segment::LAZY);
  }
  segment.set_populate(spec.populate);
  segment.set_lock_in_memory(spec.lock_in_memory);
  segment.set_resizable(spec.resizable);
  segment.set_revocable(spec.revocable);
  segment.set_lifetime(LifetimeToProto(spec.lifetime));
  if (spec.mode.has_value()) segment.set_mode(*spec.mode);
  if (spec.owner.has_value()) segment.set_owner(*spec.owner);
  if (spec.group.has_value()) segment.set_group(*spec.group);
  NumaToProto(spec.numa, segment);
  segment.set_huge_page_advice(AdviceToProto(spec.huge_page_advice));
  if (spec.seal_policy == SealPolicy::kNeverSealed) {
    segment.set_seal_policy(v1::Segment::NEVER_SEALED);
  }
}

void AdoptToProto(const AdoptSpec& spec, v1::AdoptSegmentRequest& request) {
  request.set_segment_id(spec.id);
  OriginToProto(spec, *request.mutable_segment());
  if (spec.sysv_id.has_value()) request.set_sysv_id(*spec.sysv_id);
}

void UpdateToProto(const SegmentUpdate& update,
                   v1::UpdateSegmentRequest& request) {
  v1::Segment& segment = *request.mutable_segment();
  google::protobuf::FieldMask& mask = *request.mutable_update_mask();
  segment.set_etag(update.etag);
  if (update.labels.has_value()) {
    mask.add_paths("labels");
    segment.mutable_labels()->insert(update.labels->begin(),
                                     update.labels->end());
  }
  for (const auto& [key, value] : update.label_changes) {
    mask.add_paths(absl::StrCat("labels.", key));
    if (value.has_value()) (*segment.mutable_labels())[key] = *value;
  }
  if (update.mode.has_value()) {
    mask.add_paths("mode");
    segment.set_mode(*update.mode);
  }
  if (update.owner.has_value()) {
    mask.add_paths("owner");
    segment.set_owner(*update.owner);
  }
  if (update.group.has_value()) {
    mask.add_paths("group");
    segment.set_group(*update.group);
  }
  if (update.ttl.has_value()) {
    mask.add_paths("ttl");
    *segment.mutable_ttl() = DurationToProto(*update.ttl);
  } else if (update.expire_time.has_value()) {
    mask.add_paths("expire_time");
    *segment.mutable_expire_time() = TimestampToProto(*update.expire_time);
  } else if (update.clear_expiration) {
    mask.add_paths("expire_time");
  }
}

v1::SealSegmentRequest::Extent ExtentToProto(SealExtent extent) {
  return extent == SealExtent::kNewWriters ? v1::SealSegmentRequest::NEW_WRITERS
                                           : v1::SealSegmentRequest::ALL_WRITES;
}

v1::FlushSegmentRequest::Mode FlushModeToProto(FlushMode mode) {
  switch (mode) {
    case FlushMode::kAsynchronous:
      return v1::FlushSegmentRequest::ASYNCHRONOUS;
    case FlushMode::kInvalidate:
      return v1::FlushSegmentRequest::INVALIDATE;
    case FlushMode::kSynchronous:
      break;
  }
  return v1::FlushSegmentRequest::SYNCHRONOUS;
}

Segment SegmentFromProto(const v1::Segment& segment) {
  Segment out;
  out.name = segment.name();
  out.uid = segment.uid();
  out.handle = segment.handle_string();
  out.size_bytes = segment.size_bytes();
  out.backend = BackendFromProto(segment.backend());
  out.page_size_bytes = segment.page_size_bytes();
  out.allocation = segment.allocation() == v1::Segment::RESERVED
                       ? Allocation::kReserved
                       : Allocation::kLazy;
  out.mode = segment.mode();
  out.owner = segment.owner();
  out.group = segment.group();
  out.labels.insert(segment.labels().begin(), segment.labels().end());
  out.state = StateFromProto(segment.state());
  out.generation = segment.generation();
  out.create_time = TimeFromProto(segment.create_time());
  if (segment.has_expire_time()) {
    out.expire_time = TimeFromProto(segment.expire_time());
  }
  out.posix_name = segment.posix_name();
  out.sysv_key = segment.sysv_key();
  out.file_path = segment.file_path();
  out.resizable = segment.resizable();
  out.revocable = segment.revocable();
  out.populate = segment.populate();
  out.lock_in_memory = segment.lock_in_memory();
  out.numa = NumaFromProto(segment.numa_policy());
  out.huge_page_advice = AdviceFromProto(segment.huge_page_advice());
  if (segment.seal_policy() == v1::Segment::NEVER_SEALED) {
    out.seal_policy = SealPolicy::kNeverSealed;
  }
  if (segment.has_status()) out.status = StatusOfProto(segment.status());
  out.adopted = segment.adopted();
  out.lifetime = LifetimeFromProto(segment.lifetime());
  out.owner_session = segment.owner_session();
  if (segment.has_lease_ttl()) {
    out.lease_ttl = absl::Seconds(segment.lease_ttl().seconds()) +
                    absl::Nanoseconds(segment.lease_ttl().nanos());
  }
  out.etag = segment.etag();
  return out;
}

Node NodeFromProto(const v1::Node& node) {
  Node out;
  out.id = node.node();
  out.version = node.version();
  out.start_time = TimeFromProto(node.start_time());
  out.segment_count = node.segment_count();
  out.segment_bytes = node.segment_bytes();
  out.budget_bytes = node.budget_bytes();
  out.memory_available_bytes = node.memory_available_bytes();
  if (node.has_cgroup_available_bytes()) {
    out.cgroup_available_bytes = node.cgroup_available_bytes();
  }
  out.posix_available_bytes = node.posix_available_bytes();
  for (const v1::HugePagePool& pool : node.huge_page_pools()) {
    out.huge_page_pools.push_back(
        {pool.page_size_bytes(), pool.total_pages(), pool.available_pages()});
  }
  return out;
}

WatchEvent EventFromProto(const v1::WatchSegmentsResponse& event) {
  WatchEvent out;
  switch (event.type()) {
    case v1::WatchSegmentsResponse::SYNCED:
      out.type = WatchEvent::Type::kSynced;
      break;
    case v1::WatchSegmentsResponse::CREATED:
      out.type = WatchEvent::Type::kCreated;
      break;
    case v1::WatchSegmentsResponse::DELETED:
      out.type = WatchEvent::Type::kDeleted;
      break;
    case v1::WatchSegmentsResponse::EXISTING:
      out.type = WatchEvent::Type::kExisting;
      break;
    default:
      out.type = WatchEvent::Type::kUpdated;
      break;
  }
  if (event.has_segment()) out.segment = SegmentFromProto(event.segment());
  out.resume_token = event.resume_token();
  return out;
}

}  // namespace client
}  // namespace shmd
