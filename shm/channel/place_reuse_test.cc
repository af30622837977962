#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "shm/channel/place_allocator.h"

namespace shmd {
namespace {

constexpr uint64_t kLarge = 65536;

std::vector<Extent> AllocateAll(PlaceAllocator& places, uint64_t size_bytes) {
  std::vector<Extent> all;
  while (const auto place = places.Allocate(size_bytes)) all.push_back(*place);
  return all;
}

TEST(PlaceReuseTest, LargePlacesComeAgainTheLastFirst) {
  PlaceAllocator places(4 * kLarge);
  const std::vector<Extent> all = AllocateAll(places, kLarge);
  ASSERT_EQ(all.size(), 4);
  places.Free(all[1]);
  places.Free(all[3]);
  EXPECT_EQ(places.Allocate(kLarge)->offset_bytes, all[3].offset_bytes);
  EXPECT_EQ(places.Allocate(kLarge)->offset_bytes, all[1].offset_bytes);
  EXPECT_FALSE(places.Allocate(kLarge).has_value());
}

TEST(PlaceReuseTest, LargePlacesAreJoinedForALargerOne) {
  PlaceAllocator places(4 * kLarge);
  for (const Extent& place : AllocateAll(places, kLarge)) places.Free(place);
  ASSERT_TRUE(places.Allocate(4 * kLarge).has_value());
  EXPECT_FALSE(places.Allocate(1).has_value());
}

TEST(PlaceReuseTest, LargePlacesAreCutForSmallerOnes) {
  PlaceAllocator places(4 * kLarge);
  for (const Extent& place : AllocateAll(places, kLarge)) places.Free(place);
  EXPECT_EQ(AllocateAll(places, kLarge / 2).size(), 8);
}

TEST(PlaceReuseTest, NothingIsLostOrGivenOutTwiceWhenManyComeBack) {
  constexpr uint64_t kMany = 32;
  PlaceAllocator places(kMany * kLarge);
  for (int round = 0; round < 3; ++round) {
    const std::vector<Extent> all = AllocateAll(places, kLarge);
    ASSERT_EQ(all.size(), kMany);
    std::vector<bool> taken(kMany);
    for (const Extent& place : all) {
      ASSERT_EQ(place.offset_bytes % kLarge, 0);
      ASSERT_FALSE(taken[place.offset_bytes / kLarge]);
      taken[place.offset_bytes / kLarge] = true;
      places.Free(place);
    }
  }
  EXPECT_TRUE(places.Allocate(kMany * kLarge).has_value());
}

}  // namespace
}  // namespace shmd
