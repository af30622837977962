#ifndef SHMD_SHM_CHANNEL_PLACE_ALLOCATOR_H_
#define SHMD_SHM_CHANNEL_PLACE_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "shm/arena/extent_allocator.h"

namespace shmd {

// Which parts of a ring's payload its publisher has in use; all of it in the
// publisher's private memory. Small places are kept by size and given out
// again, the last first, before others are cut: their lines are in the caches.
// Large ones start at a page. Not thread-safe.
class PlaceAllocator {
 public:
  // Up to here sizes are rounded up to a power of two.
  static constexpr uint64_t kMaxSmallBytes = 4096;
  static constexpr uint64_t kPageBytes = 4096;

  explicit PlaceAllocator(uint64_t size_bytes) : extents_(size_bytes) {}

  // At least so many bytes, offsets from the payload's start; nullopt when
  // there is no room.
  std::optional<Extent> Allocate(uint64_t size_bytes) {
    const size_t size_class = ClassOf(size_bytes);
    if (size_class == kClasses) {
      const std::optional<Extent> spare = TakeSpare(size_bytes);
      if (spare.has_value()) return spare;
    } else if (!small_[size_class].empty()) {
      const uint64_t offset = small_[size_class].back();
      small_[size_class].pop_back();
      return Extent{offset, kMinBytes << size_class};
    }
    return AllocateAnew(size_bytes, size_class);
  }

  void Free(const Extent& place) {
    if (place.size_bytes <= kMaxSmallBytes) {
      small_[ClassOf(place.size_bytes)].push_back(place.offset_bytes);
    } else {
      AddSpare(place);
    }
  }

  // Places that were lent and not given back or published.
  uint32_t loans = 0;

 private:
  static constexpr uint64_t kMinBytes = ExtentAllocator::kGranuleBytes;
  static constexpr size_t kClasses = 7;  // 64 to 4096
  static constexpr size_t kSpares = 8;

  static size_t ClassOf(uint64_t size_bytes) {
    if (size_bytes <= kMinBytes) return 0;
    if (size_bytes > kMaxSmallBytes) return kClasses;
    return 64 - static_cast<size_t>(__builtin_clzll(size_bytes - 1)) - 6;
  }
  std::optional<Extent> AllocateAnew(uint64_t size_bytes, size_t size_class);
  std::optional<Extent> TakeSpare(uint64_t size_bytes);
  void AddSpare(const Extent& place);
  void JoinAll();

  ExtentAllocator extents_;
  // Large ones that were given back last, the oldest first: messages mostly
  // have one size, and these need not be joined and cut again.
  std::vector<Extent> spares_;
  std::vector<uint64_t> small_[kClasses];
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_PLACE_ALLOCATOR_H_
