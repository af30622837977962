#include "shm/channel/place_allocator.h"

namespace shmd {

std::optional<Extent> PlaceAllocator::AllocateAnew(uint64_t size_bytes,
                                                   size_t size_class) {
  const bool is_small = size_class < kClasses;
  const uint64_t wanted = is_small ? kMinBytes << size_class : size_bytes;
  const uint64_t alignment = is_small ? kMinBytes : kPageBytes;
  std::optional<Extent> place = extents_.Allocate(wanted, alignment);
  if (!place.has_value()) {
    JoinAll();
    place = extents_.Allocate(wanted, alignment);
  }
  // A ring whose payload has an odd size, and is all wanted.
  if (!place.has_value()) place = extents_.Allocate(wanted, kMinBytes);
  if (place.has_value() && is_small) place->size_bytes = wanted;
  return place;
}

std::optional<Extent> PlaceAllocator::TakeSpare(uint64_t size_bytes) {
  for (size_t i = spares_.size(); i > 0; --i) {
    const Extent spare = spares_[i - 1];
    if (spare.size_bytes < size_bytes ||
        spare.size_bytes - size_bytes >= kMinBytes) {
      continue;
    }
    spares_.erase(spares_.begin() + static_cast<ptrdiff_t>(i) - 1);
    return spare;
  }
  return std::nullopt;
}

void PlaceAllocator::AddSpare(const Extent& place) {
  if (spares_.size() == kSpares) {
    extents_.Free(spares_.front());
    spares_.erase(spares_.begin());
  }
  spares_.push_back(place);
}

// What nobody needs may lie in the way.
void PlaceAllocator::JoinAll() {
  for (std::vector<uint64_t>& places : small_) {
    for (const uint64_t offset : places) extents_.Free(offset);
    places.clear();
  }
  for (const Extent& spare : spares_) extents_.Free(spare);
  spares_.clear();
}

}  // namespace shmd
