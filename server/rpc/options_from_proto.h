#ifndef SHMD_SERVER_RPC_OPTIONS_FROM_PROTO_H_
#define SHMD_SERVER_RPC_OPTIONS_FROM_PROTO_H_

#include "absl/status/statusor.h"
#include "base/error.h"
#include "server/access/caller.h"
#include "server/registry/commands.h"
#include "shm/types.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// The part of a Segment that says what to make, with every default filled in.
// INVALID_ARGUMENT naming the field at fault.
absl::StatusOr<SegmentOptions> OptionsFromProto(const v1::Segment& segment,
                                                const Caller& caller);

// The backend; unset means memfd. BACKEND_INVALID for an unknown number.
absl::StatusOr<BackendKind> BackendFromProto(v1::Segment::Backend backend);

// FIELD_INVALID for a ttl or an expire_time that is out of range.
absl::StatusOr<Expiration> ExpirationFromProto(const v1::Segment& segment);

Labels LabelsFromProto(const v1::Segment& segment);

// The most members of a batch.
inline constexpr int kMaxBatch = 1000;

// BATCH_TOO_LARGE unless a batch has 1 to kMaxBatch members.
absl::Status CheckBatch(absl::string_view field, int members);
// BATCH_TOO_LARGE for one with more than kMostReplyBytes to answer.
Error ReplyTooLarge(absl::string_view field);

// FIELD_INVALID for an enum's number that this version does not know.
Error UnknownNumber(absl::string_view field);

// SIZE_INVALID for 0 or more than any segment can have.
absl::Status CheckSize(absl::string_view field, uint64_t size_bytes);

// PAGE_SIZE_MISMATCH, naming a field of `resource`, for what is no page size
// or does not divide the size.
absl::Status CheckPageSize(absl::string_view resource, uint64_t page_size_bytes,
                           uint64_t size_bytes);

// MODE_INVALID beyond 0666.
absl::Status CheckMode(absl::string_view field, uint32_t mode);

// FIELD_INVALID for minus one, which means "leave it" to chown(2).
absl::Status CheckId(absl::string_view field, uint32_t id);

// At least a millisecond and at most ten thousand years.
absl::StatusOr<absl::Duration> TtlFromProto(
    absl::string_view field, const google::protobuf::Duration& ttl);

// From 1970 to 2262.
absl::StatusOr<absl::Time> TimeFromProto(
    absl::string_view field, const google::protobuf::Timestamp& time);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_OPTIONS_FROM_PROTO_H_
