#include "server/rpc/segment_to_proto.h"

#include <fcntl.h>

#include "server/registry/segment_registry.h"
#include "server/rpc/time_to_proto.h"
#include "server/session/session.h"

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020  // include/uapi/linux/fcntl.h, Linux 6.3
#endif

namespace shmd {
namespace {

v1::Segment::Backend ToProto(BackendKind backend) {
  switch (backend) {
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

v1::Segment::State ToProto(SegmentState state) {
  switch (state) {
    case SegmentState::kActive:
      return v1::Segment::ACTIVE;
    case SegmentState::kClosedToWriters:
      return v1::Segment::CLOSED_TO_WRITERS;
    case SegmentState::kSealed:
      return v1::Segment::SEALED;
    case SegmentState::kDeleted:
      return v1::Segment::DELETED;
  }
  return v1::Segment::STATE_UNSPECIFIED;
}

v1::Segment::HugePageAdvice ToProto(HugePageAdvice advice) {
  switch (advice) {
    case HugePageAdvice::kUnspecified:
      break;
    case HugePageAdvice::kWanted:
      return v1::Segment::HUGE_PAGES_WANTED;
    case HugePageAdvice::kUnwanted:
      return v1::Segment::HUGE_PAGES_UNWANTED;
  }
  return v1::Segment::HUGE_PAGE_ADVICE_UNSPECIFIED;
}

v1::NumaPolicy::Mode ToProto(NumaMode mode) {
  switch (mode) {
    case NumaMode::kNone:
      break;
    case NumaMode::kBind:
      return v1::NumaPolicy::BIND;
    case NumaMode::kInterleave:
      return v1::NumaPolicy::INTERLEAVE;
    case NumaMode::kPreferred:
      return v1::NumaPolicy::PREFERRED;
  }
  return v1::NumaPolicy::MODE_UNSPECIFIED;
}

v1::Segment::Lifetime ToProto(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kUntilDeleted:
      return v1::Segment::UNTIL_DELETED;
    case Lifetime::kSession:
      return v1::Segment::SESSION;
    case Lifetime::kSessionUntilSealed:
      return v1::Segment::SESSION_UNTIL_SEALED;
  }
  return v1::Segment::LIFETIME_UNSPECIFIED;
}

void OptionsToProto(const SegmentOptions& options, v1::Segment* proto) {
  proto->set_size_bytes(options.size_bytes);
  proto->set_backend(ToProto(options.backend));
  proto->set_page_size_bytes(options.page_size_bytes);
  proto->set_allocation(options.allocation == Allocation::kLazy
                            ? v1::Segment::LAZY
                            : v1::Segment::RESERVED);
  proto->set_mode(options.mode);
  proto->set_owner(options.owner);
  proto->set_group(options.group);
  // Setting an empty string allocates one.
  if (!options.posix_name.empty()) proto->set_posix_name(options.posix_name);
  proto->set_sysv_key(options.sysv_key);
  if (!options.file_path.empty()) proto->set_file_path(options.file_path);
  proto->set_resizable(options.resizable);
  if (options.revocable) proto->set_revocable(true);
  proto->set_populate(options.populate);
  proto->set_lock_in_memory(options.lock_in_memory);
  if (options.numa.mode != NumaMode::kNone) {
    auto* const numa = proto->mutable_numa_policy();
    numa->set_mode(ToProto(options.numa.mode));
    for (const uint32_t node : options.numa.nodes) numa->add_nodes(node);
  }
  proto->set_huge_page_advice(ToProto(options.huge_page_advice));
  if (options.backend == BackendKind::kMemfd) {
    proto->set_seal_policy(options.seal_policy == SealPolicy::kSealable
                               ? v1::Segment::SEALABLE
                               : v1::Segment::NEVER_SEALED);
  }
}

}  // namespace

void IdentityToProto(const Segment& segment, v1::Segment* proto) {
  proto->set_name(segment.name.ToString());
  proto->set_uid(UidToHex(segment.uid));
  proto->set_generation(segment.generation);
}

void SegmentToProto(const Segment& segment, v1::Segment* proto) {
  IdentityToProto(segment, proto);
  OptionsToProto(segment.options, proto);
  for (const auto& [key, value] : segment.labels) {
    (*proto->mutable_labels())[key] = value;
  }
  proto->set_state(ToProto(segment.state));
  TimeToProto(segment.create_time, proto->mutable_create_time());
  if (segment.expire_time.has_value()) {
    TimeToProto(*segment.expire_time, proto->mutable_expire_time());
  }
  if (segment.lease_ttl.has_value()) {
    DurationToProto(*segment.lease_ttl, proto->mutable_lease_ttl());
  }
  proto->set_lifetime(ToProto(segment.lifetime));
  if (segment.lifetime != Lifetime::kUntilDeleted) {
    proto->set_owner_session(SessionName(segment.owner_session));
  }
  proto->set_adopted(segment.adopted);
  proto->set_etag(EtagOf(segment));
}

void StatusToProto(const ObjectStatus& status, const ObjectName& name,
                   uint64_t attachments, v1::SegmentStatus* proto) {
  proto->set_page_size_bytes(status.page_size_bytes);
  proto->set_resident_bytes(status.resident_bytes);
  for (const NodePages& node : status.node_pages) {
    auto* const pages = proto->add_node_pages();
    pages->set_node(node.node);
    pages->set_pages(node.pages);
  }
  if (status.kernel_attach_count.has_value()) {
    proto->set_kernel_attach_count(*status.kernel_attach_count);
  }
  proto->set_attachment_count(attachments);
  if (name.backend == BackendKind::kSysv) proto->set_sysv_id(name.sysv_id);
  proto->set_locked_bytes(status.locked_bytes);
  struct NamedSeal {
    int bit;
    const char* name;
  };
  constexpr NamedSeal kSeals[] = {
      {F_SEAL_SEAL, "F_SEAL_SEAL"},
      {F_SEAL_SHRINK, "F_SEAL_SHRINK"},
      {F_SEAL_GROW, "F_SEAL_GROW"},
      {F_SEAL_WRITE, "F_SEAL_WRITE"},
      {F_SEAL_FUTURE_WRITE, "F_SEAL_FUTURE_WRITE"},
      {F_SEAL_EXEC, "F_SEAL_EXEC"},
  };
  for (const NamedSeal& seal : kSeals) {
    if ((status.seals & seal.bit) != 0) proto->add_seals(seal.name);
  }
}

}  // namespace shmd
