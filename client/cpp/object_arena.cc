#include "client/cpp/object_arena.h"

#include <algorithm>
#include <ctime>

#include "shm/arena/idle_pages.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

ObjectArena::ObjectArena(uint32_t number, WritableAttached memory,
                         std::optional<ObjectRef> object)
    : number_(number),
      size_bytes_(memory.size_bytes()),
      memory_(std::move(memory)),
      object_(std::move(object)),
      has_huge_pages_(memory_.facts().page_size_bytes > BasePageSizeBytes()),
      is_strict_(object_.has_value()),
      extents_(size_bytes_) {}

absl::Status ObjectArena::MapAgain() {
  MapOptions options;
  options.size_bytes = size_bytes_;
  options.page_size_bytes = memory_.facts().page_size_bytes;
  absl::StatusOr<WritableMapping> mapping =
      WritableMapping::Map(*object_, options);
  if (!mapping.ok()) return mapping.status();
  static_cast<WritableMapping&>(memory_) = *std::move(mapping);
  return absl::OkStatus();
}

void ObjectArena::Share() {
  absl::MutexLock lock(&mutex_);
  // The allocator does not know that its pages were written.
  const std::optional<Extent> all = extents_.Allocate(size_bytes_, 1);
  if (all.has_value()) extents_.Free(all->offset_bytes, NowMs());
  is_strict_ = false;
}

bool ObjectArena::TakeBack(uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  if (!object_.has_value() || is_strict_ || size_bytes != size_bytes_ ||
      extents_.used_bytes() > 0) {
    return false;
  }
  is_strict_ = true;
  return true;
}

uint32_t ObjectArena::NowMs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint32_t>(static_cast<uint64_t>(now.tv_sec) * 1000 +
                               static_cast<uint64_t>(now.tv_nsec) / 1000000);
}

std::optional<Extent> ObjectArena::Allocate(uint64_t size_bytes,
                                            uint64_t alignment) {
  absl::MutexLock lock(&mutex_);
  if (is_strict_) return std::nullopt;
  return extents_.Allocate(size_bytes, alignment);
}

void ObjectArena::Drop(uint64_t offset_bytes) {
  extents_.Free(offset_bytes, NowMs());
}

void ObjectArena::Abandon(uint64_t offset_bytes) {
  absl::MutexLock lock(&mutex_);
  const uint64_t* const tag = extents_.FindTag(offset_bytes);
  if (tag != nullptr && Place::Of(*tag).state == State::kDraft) {
    Drop(offset_bytes);
  }
}

void ObjectArena::Doubt(uint64_t offset_bytes) {
  absl::MutexLock lock(&mutex_);
  uint64_t* const tag = extents_.FindTag(offset_bytes);
  if (tag == nullptr) return;
  *tag = Place{State::kDoubted, Place::Of(*tag).generation}.tag();
}

void ObjectArena::Publish(uint64_t offset_bytes, uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  uint64_t* const tag = extents_.FindTag(offset_bytes);
  if (tag == nullptr) return;
  if (Place::Of(*tag).generation == generation) {
    Drop(offset_bytes);
  } else {
    *tag = Place{State::kPublished, generation}.tag();
  }
}

void ObjectArena::Free(uint64_t offset_bytes, uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  uint64_t* const tag = extents_.FindTag(offset_bytes);
  if (tag == nullptr) return;
  const Place place = Place::Of(*tag);
  if (place.state != State::kPublished) {
    *tag = Place{place.state, std::max(place.generation, generation)}.tag();
  } else if (place.generation == generation) {
    Drop(offset_bytes);
  }
}

std::vector<ObjectArena::Published> ObjectArena::AllPublished() const {
  absl::MutexLock lock(&mutex_);
  std::vector<Published> all;
  extents_.ForEachInUse([&](uint64_t offset_bytes, uint64_t tag) {
    const Place place = Place::Of(tag);
    if (place.state != State::kPublished) return;
    all.push_back({offset_bytes, place.generation});
  });
  return all;
}

absl::StatusOr<uint64_t> ObjectArena::Trim(uint64_t min_bytes,
                                           uint64_t max_bytes,
                                           uint32_t age_ms) {
  ExtentAllocator::IdleQuery query;
  query.min_bytes = min_bytes;
  query.max_bytes = max_bytes;
  query.moment = NowMs();
  query.age = age_ms;
  absl::MutexLock lock(&mutex_);
  // Its memory is its writer's alone, and perhaps not mapped. A huge page that
  // is given back may be another one's when it is wanted again.
  if (is_strict_ || has_huge_pages_) return 0;
  return GiveBackIdlePages(extents_, data(), query);
}

}  // namespace client
}  // namespace shmd
