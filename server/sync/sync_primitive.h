#ifndef SHMD_SERVER_SYNC_SYNC_PRIMITIVE_H_
#define SHMD_SERVER_SYNC_SYNC_PRIMITIVE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/registry/segment.h"
#include "shm/layout/sync_layout.h"

namespace shmd {

inline constexpr size_t kMaxSyncIdBytes = 64;

// What a primitive that stands alone is made of.
struct SyncSpec {
  layout::SyncKind kind = layout::SyncKind::kNone;
  uint32_t initial_count = 0;
  uint32_t parties = 0;
  bool automatic_reset = false;
  uint32_t value_bytes = 0;
};

// FIELD_INVALID (INVALID_ARGUMENT) naming the field of `sync_primitive`.
absl::Status CheckSyncSpec(const SyncSpec& spec);

// Whether who wants the one can use the other. What it began with counts not.
bool AreAlike(const SyncSpec& a, const SyncSpec& b);

// Of its segment.
uint64_t SyncSegmentBytes(const SyncSpec& spec);

// How its segment keeps the spec: nobody but the daemon changes its labels.
Labels LabelsOf(const SyncSpec& spec);
SyncSpec SyncSpecOf(const Labels& labels);

// Makes the primitive in new memory, whose bytes are 0.
void FillPrimitive(const SyncSpec& spec, void* memory);

// SYNC_ID_INVALID naming `field`.
absl::Status CheckSyncId(absl::string_view field, absl::string_view id);

// The segment that it is, and back: empty for any other.
std::string SyncSegmentId(absl::string_view id);
absl::string_view SyncIdOf(absl::string_view segment_id);

// namespaces/{namespace}/syncPrimitives/{id}, as the name of its segment; the
// second one takes a segment's name too. NAME_INVALID naming `field`.
absl::StatusOr<SegmentName> ParseSyncName(absl::string_view field,
                                          absl::string_view name);
absl::StatusOr<SegmentName> ParseLockedName(absl::string_view field,
                                            absl::string_view name);
// The reverse of ParseSyncName.
std::string SyncNameOf(const SegmentName& segment);

// `status` of a call on its segment, as one of a primitive's.
absl::Status OfSyncPrimitive(const absl::Status& status,
                             const SegmentName& segment);

}  // namespace shmd

#endif  // SHMD_SERVER_SYNC_SYNC_PRIMITIVE_H_
