#include "server/sync/sync_primitive.h"

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/sync/owned_word.h"

namespace shmd {
namespace {

constexpr char kPrefix[] = "shmd.sync.";
constexpr char kCollection[] = "syncPrimitives";

Error FieldInvalid(absl::string_view field, absl::string_view why) {
  return InvalidField(absl::StrCat("sync_primitive.", field),
                      reason::kFieldInvalid, why);
}

uint32_t NumberIn(const Labels& labels, const char* key) {
  const auto found = labels.find(key);
  uint32_t number = 0;
  // What the daemon wrote itself; 0 for anything else.
  return found != labels.end() && absl::SimpleAtoi(found->second, &number)
             ? number
             : 0;
}

}  // namespace

absl::Status CheckSyncSpec(const SyncSpec& spec) {
  using layout::SyncKind;
  if (spec.kind == SyncKind::kNone || spec.kind == SyncKind::kCondition) {
    return FieldInvalid("kind", "is none that stands alone");
  }
  const uint32_t most = spec.kind == SyncKind::kSemaphore
                            ? layout::kMaxSemaphoreCount
                            : (spec.kind == SyncKind::kEvent ? 1 : 0);
  if (spec.initial_count > most) {
    return FieldInvalid("initial_count", "is more than the kind can have");
  }
  const bool is_barrier = spec.kind == SyncKind::kBarrier;
  if (is_barrier
          ? spec.parties == 0 || spec.parties > layout::kMaxBarrierParties
          : spec.parties != 0) {
    return FieldInvalid("parties", "is for barriers, of 1 to 65535");
  }
  if (spec.automatic_reset && spec.kind != SyncKind::kEvent) {
    return FieldInvalid("automatic_reset", "is for events");
  }
  const bool is_value = spec.kind == SyncKind::kSeqValue;
  if (is_value ? spec.value_bytes == 0 || spec.value_bytes % 8 != 0 ||
                     spec.value_bytes > layout::kMaxSeqValueBytes
               : spec.value_bytes != 0) {
    return FieldInvalid("value_bytes",
                        "is for values: a multiple of 8 up to 1048576");
  }
  return absl::OkStatus();
}

bool AreAlike(const SyncSpec& a, const SyncSpec& b) {
  return a.kind == b.kind && a.parties == b.parties &&
         a.automatic_reset == b.automatic_reset &&
         a.value_bytes == b.value_bytes;
}

uint64_t SyncSegmentBytes(const SyncSpec& spec) {
  return layout::SyncBytes(spec.kind) +
         2 * layout::SeqCopyBytes(spec.value_bytes);
}

Labels LabelsOf(const SyncSpec& spec) {
  Labels labels;
  labels["kind"] = absl::StrCat(static_cast<uint32_t>(spec.kind));
  labels["initial_count"] = absl::StrCat(spec.initial_count);
  labels["parties"] = absl::StrCat(spec.parties);
  labels["automatic_reset"] = absl::StrCat(uint32_t{spec.automatic_reset});
  labels["value_bytes"] = absl::StrCat(spec.value_bytes);
  return labels;
}

SyncSpec SyncSpecOf(const Labels& labels) {
  SyncSpec spec;
  const uint32_t kind = NumberIn(labels, "kind");
  if (kind <= layout::kLastSyncKind) {
    spec.kind = layout::SyncKind{static_cast<uint8_t>(kind)};
  }
  spec.initial_count = NumberIn(labels, "initial_count");
  spec.parties = NumberIn(labels, "parties");
  spec.automatic_reset = NumberIn(labels, "automatic_reset") != 0;
  spec.value_bytes = NumberIn(labels, "value_bytes");
  return spec;
}

void FillPrimitive(const SyncSpec& spec, void* memory) {
  using layout::HostMemory;
  const auto store = [](uint32_t* word, uint32_t value) {
    HostMemory::Store(word, value, std::memory_order_relaxed);
  };
  // SAFETY: a page at least, at whose start nothing else stands.
  auto* const mutex = static_cast<layout::MutexLayout*>(memory);
  if (spec.kind == layout::SyncKind::kBarrier) {
    store(&static_cast<layout::BarrierLayout*>(memory)->parties, spec.parties);
  } else if (spec.kind == layout::SyncKind::kSeqValue) {
    store(&static_cast<layout::SeqValueLayout*>(memory)->value_bytes,
          spec.value_bytes);
  } else if (spec.kind == layout::SyncKind::kEvent) {
    store(&static_cast<layout::EventLayout*>(memory)->reset,
          uint32_t{spec.automatic_reset});
  }
  // A count, or that it is set.
  store(&mutex->word, spec.initial_count);
  PublishHead<HostMemory>(&mutex->head, spec.kind);
}

absl::Status CheckSyncId(absl::string_view field, absl::string_view id) {
  if (IsPathSafe(id, kMaxSyncIdBytes)) return absl::OkStatus();
  return InvalidField(field, reason::kSyncIdInvalid,
                      "is not 1 to 64 of [A-Za-z0-9._-], or is . or ..");
}

std::string SyncSegmentId(absl::string_view id) {
  return absl::StrCat(kPrefix, id);
}

absl::string_view SyncIdOf(absl::string_view segment_id) {
  return absl::ConsumePrefix(&segment_id, kPrefix) ? segment_id
                                                   : absl::string_view();
}

absl::StatusOr<SegmentName> ParseSyncName(absl::string_view field,
                                          absl::string_view name) {
  absl::string_view name_space, id;
  if (SplitName(name, kCollection, kMaxSyncIdBytes, &name_space, &id)) {
    return SegmentName{std::string(name_space), SyncSegmentId(id)};
  }
  return absl::StatusOr<SegmentName>(
      InvalidField(field, reason::kNameInvalid,
                   "is not namespaces/{namespace}/syncPrimitives/{id}"));
}

absl::StatusOr<SegmentName> ParseLockedName(absl::string_view field,
                                            absl::string_view name) {
  absl::StatusOr<SegmentName> segment = ParseSegmentName(field, name);
  if (segment.ok()) return segment;
  absl::StatusOr<SegmentName> primitive = ParseSyncName(field, name);
  return primitive.ok() ? primitive : segment;
}

std::string SyncNameOf(const SegmentName& segment) {
  return absl::StrCat("namespaces/", segment.name_space, "/", kCollection, "/",
                      SyncIdOf(segment.id));
}

absl::Status OfSyncPrimitive(const absl::Status& status,
                             const SegmentName& segment) {
  if (SyncIdOf(segment.id).empty()) return status;
  if (GetErrorReason(status) == reason::kSegmentNotFound) {
    return Error(absl::StatusCode::kNotFound, reason::kSyncPrimitiveNotFound,
                 "there is no such primitive")
        .With("name", SyncNameOf(segment));
  }
  if (GetErrorReason(status) == reason::kSegmentExists) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kSyncPrimitiveExists,
                 "the name is taken by another primitive")
        .With("name", SyncNameOf(segment));
  }
  return status;
}

}  // namespace shmd
