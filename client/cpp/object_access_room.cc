// How an ObjectStore comes by room in the arenas that it writes.

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/failpoint.h"
#include "client/cpp/object_access.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {
namespace {

// A page of memory costs some 2 us to give back, so this much 0.5 ms: what a
// put or a delete may take longer for it.
constexpr uint64_t kTrimmedAtOnceBytes = 1 << 20;
// Of the time, one part in twenty, then.
constexpr uint32_t kBetweenTrimsMs = 10;
// Shorter runs are not worth a call.
constexpr uint64_t kLeastTrimmedBytes = 64 << 10;
constexpr uint64_t kPageAlignedFromBytes = 64 << 10;
constexpr uint32_t kNeverMs = uint32_t{1} << 31;

}  // namespace

uint64_t ObjectAccess::PageBytes() const {
  return std::max(options_.page_size_bytes, BasePageSizeBytes());
}

uint64_t ObjectAccess::AlignmentOf(uint64_t size_bytes) const {
  if (size_bytes >= PageBytes() && PageBytes() > BasePageSizeBytes()) {
    return PageBytes();
  }
  return size_bytes >= kPageAlignedFromBytes ? BasePageSizeBytes() : 64;
}

std::vector<std::shared_ptr<ObjectArena>> ObjectAccess::Arenas() {
  absl::MutexLock lock(&arenas_mutex_);
  return arenas_;
}

void ObjectAccess::TidyUp() {
  const uint64_t connections = parts_.link->connections();
  if (ABSL_PREDICT_FALSE(connections !=
                         reconciled_.load(std::memory_order_relaxed))) {
    Reconcile(connections);
  }
  if (trim_after_ms_ == kNeverMs) return;
  const uint32_t now_ms = ObjectArena::NowMs();
  uint32_t due_ms = trim_due_ms_.load(std::memory_order_relaxed);
  // The difference is right also when the clock has wrapped.
  if (static_cast<int32_t>(now_ms - due_ms) < 0) return;
  // One thread is enough.
  if (trim_due_ms_.compare_exchange_strong(due_ms, now_ms + kBetweenTrimsMs,
                                           std::memory_order_relaxed)) {
    TrimSome();
  }
}

void ObjectAccess::TrimSome() {
  uint64_t left_bytes = kTrimmedAtOnceBytes;
  for (const std::shared_ptr<ObjectArena>& arena : Arenas()) {
    const absl::StatusOr<uint64_t> given =
        arena->Trim(kLeastTrimmedBytes, left_bytes, trim_after_ms_);
    // What cannot be given back stays: no reason not to put.
    left_bytes -= std::min(left_bytes, given.value_or(0));
  }
  if (left_bytes < kTrimmedAtOnceBytes) return;
  // There was nothing, and soon there will not be much.
  trim_due_ms_.store(
      ObjectArena::NowMs() + std::max(trim_after_ms_ / 4, kBetweenTrimsMs),
      std::memory_order_relaxed);
}

absl::StatusOr<uint64_t> ObjectAccess::Trim() {
  // What the daemon has freed may not have been heard of yet.
  lane_.Listen(absl::InfinitePast());
  Reconcile(parts_.link->connections());
  uint64_t trimmed_bytes = 0;
  for (const std::shared_ptr<ObjectArena>& arena : Arenas()) {
    // In steps, between which other threads may put.
    for (uint64_t given_bytes = 1; given_bytes > 0;) {
      const absl::StatusOr<uint64_t> given =
          arena->Trim(/*min_bytes=*/0, kTrimmedAtOnceBytes, /*age_ms=*/0);
      if (!given.ok()) return given.status();
      SHMD_FAILPOINT("room.trimmed");
      given_bytes = *given;
      trimmed_bytes += given_bytes;
    }
  }
  return trimmed_bytes;
}

// A daemon that was killed may have freed an object and not told. Every object
// that is in use has an entry in the directory, at one place for as long as
// that, so one that was published before and has none is gone, and nobody has
// it pinned. Should the daemon tell it all the same, because that was on its
// way: ObjectArena knows the generation, and takes it once.
void ObjectAccess::Reconcile(uint64_t connections) {
  struct Candidate {
    std::shared_ptr<ObjectArena> arena;
    ObjectArena::Published published;
  };
  std::vector<Candidate> candidates;
  absl::flat_hash_set<uint32_t> arenas;
  for (const std::shared_ptr<ObjectArena>& arena : Arenas()) {
    arenas.insert(arena->number());
    for (const ObjectArena::Published& published : arena->AllPublished()) {
      candidates.push_back({arena, published});
    }
  }
  absl::flat_hash_set<uint64_t> in_use;
  const bool is_sure =
      reader_.ForEachInUse([&](uint32_t arena, uint64_t generation) {
        if (arenas.contains(arena)) in_use.insert(generation);
      });
  if (!is_sure) return;  // the next time
  for (const Candidate& one : candidates) {
    if (in_use.contains(one.published.generation)) continue;
    one.arena->Free(one.published.offset_bytes, one.published.generation);
  }
  reconciled_.store(connections, std::memory_order_relaxed);
}

}  // namespace client
}  // namespace shmd
