#include "server/rpc/options_from_proto.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

constexpr uint64_t kHugePage2M = uint64_t{2} << 20;
constexpr uint64_t kHugePage1G = uint64_t{1} << 30;
// 200 years: every end is before 2262, when nanoseconds since 1970 end.
constexpr int64_t kMaxSeconds = 6311520000;
constexpr int kMaxNumaNodes = 1024;  // MAX_NUMNODES of the kernel

Error OtherBackends(absl::string_view field) {
  return InvalidField(field, reason::kBackendInvalid,
                      "does not belong to this backend");
}

absl::Status CheckBackendFields(const v1::Segment& segment,
                                BackendKind backend) {
  if (!segment.posix_name().empty() && backend != BackendKind::kPosix) {
    return OtherBackends("segment.posix_name");
  }
  if (segment.sysv_key() != 0 && backend != BackendKind::kSysv) {
    return OtherBackends("segment.sysv_key");
  }
  if (!segment.file_path().empty() && backend != BackendKind::kMappedFile) {
    return OtherBackends("segment.file_path");
  }
  if (segment.file_path().empty() && backend == BackendKind::kMappedFile) {
    return InvalidField("segment.file_path", reason::kFilePathInvalid,
                        "is required for a mapped file");
  }
  if (segment.seal_policy() != v1::Segment::SEAL_POLICY_UNSPECIFIED &&
      backend != BackendKind::kMemfd) {
    return OtherBackends("segment.seal_policy");
  }
  if (segment.revocable() && backend == BackendKind::kSysv) {
    return Error(absl::StatusCode::kUnimplemented, reason::kBackendUnsupported,
                 "a System V segment cannot be taken from its users")
        .InField("segment.revocable")
        .With("backend", "SYSV");
  }
  if (segment.revocable() && segment.seal_policy() == v1::Segment::SEALABLE) {
    return InvalidField("segment.seal_policy", reason::kFieldInvalid,
                        "is not for a revocable segment, whose content ends "
                        "when it is revoked");
  }
  if (segment.resizable() && backend == BackendKind::kSysv) {
    return Error(absl::StatusCode::kUnimplemented, reason::kBackendUnsupported,
                 "a System V segment keeps its size for life")
        .InField("segment.resizable")
        .With("backend", "SYSV");
  }
  return absl::OkStatus();
}

absl::Status ReadAllocation(const v1::Segment& segment,
                            SegmentOptions* options) {
  options->lock_in_memory = segment.lock_in_memory();
  options->populate = segment.populate() || segment.lock_in_memory();
  const bool has_file_system = options->backend == BackendKind::kPosix ||
                               options->backend == BackendKind::kMappedFile;
  switch (segment.allocation()) {
    case v1::Segment::ALLOCATION_UNSPECIFIED:
      options->allocation =
          has_file_system || options->populate ||
                  options->page_size_bytes > BasePageSizeBytes()
              ? Allocation::kReserved
              : Allocation::kLazy;
      return absl::OkStatus();
    case v1::Segment::LAZY:
      if (options->populate) {
        return InvalidField("segment.allocation", reason::kFieldInvalid,
                            "LAZY contradicts populate and lock_in_memory");
      }
      options->allocation = Allocation::kLazy;
      return absl::OkStatus();
    case v1::Segment::RESERVED:
      options->allocation = Allocation::kReserved;
      return absl::OkStatus();
    default:
      return UnknownNumber("segment.allocation");
  }
}

absl::Status ReadNuma(const v1::Segment& segment, SegmentOptions* options) {
  if (!segment.has_numa_policy()) return absl::OkStatus();
  const v1::NumaPolicy& policy = segment.numa_policy();
  switch (policy.mode()) {
    case v1::NumaPolicy::BIND:
      options->numa.mode = NumaMode::kBind;
      break;
    case v1::NumaPolicy::INTERLEAVE:
      options->numa.mode = NumaMode::kInterleave;
      break;
    case v1::NumaPolicy::PREFERRED:
      options->numa.mode = NumaMode::kPreferred;
      break;
    case v1::NumaPolicy::MODE_UNSPECIFIED:
      return InvalidField("segment.numa_policy.mode", reason::kFieldInvalid,
                          "is required");
    default:
      return UnknownNumber("segment.numa_policy.mode");
  }
  if (policy.nodes_size() == 0 || policy.nodes_size() > kMaxNumaNodes) {
    return InvalidField("segment.numa_policy.nodes", reason::kFieldInvalid,
                        "has no node, or more than 1024");
  }
  for (const uint32_t node : policy.nodes()) {
    if (node >= kMaxNumaNodes) {
      return InvalidField("segment.numa_policy.nodes", reason::kFieldInvalid,
                          "names a node beyond 1023")
          .With("node", node);
    }
    options->numa.nodes.push_back(node);
  }
  return absl::OkStatus();
}

absl::Status ReadAdvice(const v1::Segment& segment, SegmentOptions* options) {
  switch (segment.huge_page_advice()) {
    case v1::Segment::HUGE_PAGE_ADVICE_UNSPECIFIED:
      break;
    case v1::Segment::HUGE_PAGES_WANTED:
      options->huge_page_advice = HugePageAdvice::kWanted;
      break;
    case v1::Segment::HUGE_PAGES_UNWANTED:
      options->huge_page_advice = HugePageAdvice::kUnwanted;
      break;
    default:
      return UnknownNumber("segment.huge_page_advice");
  }
  switch (segment.seal_policy()) {
    case v1::Segment::SEAL_POLICY_UNSPECIFIED:
    case v1::Segment::SEALABLE:
      break;
    case v1::Segment::NEVER_SEALED:
      options->seal_policy = SealPolicy::kNeverSealed;
      break;
    default:
      return UnknownNumber("segment.seal_policy");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBatch(absl::string_view field, int members) {
  if (members >= 1 && members <= kMaxBatch) return absl::OkStatus();
  return InvalidField(field, reason::kBatchTooLarge,
                      absl::StrCat("has not 1 to ", kMaxBatch, " members"))
      .With("members", members);
}

Error ReplyTooLarge(absl::string_view field) {
  return InvalidField(field, reason::kBatchTooLarge,
                      "would have a reply of more than 3 MiB: ask for less");
}

Error UnknownNumber(absl::string_view field) {
  return InvalidField(field, reason::kFieldInvalid, "is an unknown number");
}

absl::Status CheckSize(absl::string_view field, uint64_t size_bytes) {
  if (size_bytes > 0 && size_bytes <= kMaxSegmentSizeBytes) {
    return absl::OkStatus();
  }
  return InvalidField(field, reason::kSizeInvalid,
                      absl::StrCat("is not 1 to ", kMaxSegmentSizeBytes))
      .With("size_bytes", size_bytes);
}

absl::Status CheckPageSize(absl::string_view resource, uint64_t page_size_bytes,
                           uint64_t size_bytes) {
  if (page_size_bytes == BasePageSizeBytes()) return absl::OkStatus();
  if (page_size_bytes != kHugePage2M && page_size_bytes != kHugePage1G) {
    return InvalidField(absl::StrCat(resource, ".page_size_bytes"),
                        reason::kPageSizeMismatch,
                        "is none of 4096, 2097152, 1073741824")
        .With("page_size_bytes", page_size_bytes);
  }
  if (size_bytes % page_size_bytes != 0) {
    return InvalidField(absl::StrCat(resource, ".size_bytes"),
                        reason::kPageSizeMismatch,
                        "is no multiple of the page size")
        .With("size_bytes", size_bytes)
        .With("page_size_bytes", page_size_bytes);
  }
  return absl::OkStatus();
}

absl::Status CheckMode(absl::string_view field, uint32_t mode) {
  if ((mode & ~0666u) == 0) return absl::OkStatus();
  return InvalidField(field, reason::kModeInvalid,
                      "has other bits than 0666 (decimal 438)")
      .With("mode", absl::StrFormat("%#o", mode));
}

absl::Status CheckId(absl::string_view field, uint32_t id) {
  if (id != UINT32_MAX) return absl::OkStatus();
  return InvalidField(field, reason::kFieldInvalid,
                      "4294967295 is no uid and no gid");
}

absl::StatusOr<BackendKind> BackendFromProto(v1::Segment::Backend backend) {
  switch (backend) {
    case v1::Segment::BACKEND_UNSPECIFIED:
    case v1::Segment::MEMFD:
      return BackendKind::kMemfd;
    case v1::Segment::POSIX:
      return BackendKind::kPosix;
    case v1::Segment::SYSV:
      return BackendKind::kSysv;
    case v1::Segment::MAPPED_FILE:
      return BackendKind::kMappedFile;
    default:
      return absl::StatusOr<BackendKind>(InvalidField(
          "segment.backend", reason::kBackendInvalid, "is an unknown number"));
  }
}

absl::StatusOr<SegmentOptions> OptionsFromProto(const v1::Segment& segment,
                                                const Caller& caller) {
  SegmentOptions options;
  ASSIGN_OR_RETURN(options.backend, BackendFromProto(segment.backend()));
  options.size_bytes = segment.size_bytes();
  RETURN_IF_ERROR(CheckSize("segment.size_bytes", options.size_bytes));
  options.page_size_bytes = segment.page_size_bytes() == 0
                                ? BasePageSizeBytes()
                                : segment.page_size_bytes();
  RETURN_IF_ERROR(
      CheckPageSize("segment", options.page_size_bytes, options.size_bytes));
  RETURN_IF_ERROR(CheckBackendFields(segment, options.backend));
  RETURN_IF_ERROR(ReadAllocation(segment, &options));
  options.mode = segment.has_mode() ? segment.mode() : 0600;
  RETURN_IF_ERROR(CheckMode("segment.mode", options.mode));
  options.owner = segment.has_owner() ? segment.owner() : caller.uid;
  options.group = segment.has_group() ? segment.group() : caller.gid;
  RETURN_IF_ERROR(CheckId("segment.owner", options.owner));
  RETURN_IF_ERROR(CheckId("segment.group", options.group));
  RETURN_IF_ERROR(ReadNuma(segment, &options));
  RETURN_IF_ERROR(ReadAdvice(segment, &options));
  options.resizable = segment.resizable();
  options.revocable = segment.revocable();
  if (options.revocable) options.seal_policy = SealPolicy::kNeverSealed;
  options.posix_name = segment.posix_name();
  options.sysv_key = segment.sysv_key();
  options.file_path = segment.file_path();
  return options;
}

absl::StatusOr<absl::Duration> TtlFromProto(
    absl::string_view field, const google::protobuf::Duration& ttl) {
  if (ttl.seconds() >= 0 && ttl.seconds() < kMaxSeconds && ttl.nanos() >= 0 &&
      ttl.nanos() < 1000000000) {
    const absl::Duration duration =
        absl::Seconds(ttl.seconds()) + absl::Nanoseconds(ttl.nanos());
    if (duration >= absl::Milliseconds(1)) return duration;
  }
  return absl::StatusOr<absl::Duration>(
      InvalidField(field, reason::kFieldInvalid, "is not 1 ms to 200 years"));
}

absl::StatusOr<absl::Time> TimeFromProto(
    absl::string_view field, const google::protobuf::Timestamp& time) {
  // Until 2262, when nanoseconds since 1970 end.
  if (time.seconds() < 0 || time.seconds() > 9223372036 || time.nanos() < 0 ||
      time.nanos() >= 1000000000) {
    return absl::StatusOr<absl::Time>(
        InvalidField(field, reason::kFieldInvalid, "is out of range"));
  }
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

absl::StatusOr<Expiration> ExpirationFromProto(const v1::Segment& segment) {
  Expiration expiration;
  if (segment.has_ttl()) {
    ASSIGN_OR_RETURN(expiration.ttl,
                     TtlFromProto("segment.ttl", segment.ttl()));
  }
  if (segment.has_expire_time()) {
    ASSIGN_OR_RETURN(expiration.time, TimeFromProto("segment.expire_time",
                                                    segment.expire_time()));
  }
  return expiration;
}

Labels LabelsFromProto(const v1::Segment& segment) {
  Labels labels;
  for (const auto& [key, value] : segment.labels()) labels[key] = value;
  return labels;
}

}  // namespace shmd
