#include "client/cpp/recent_writes.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace shmd {
namespace {

constexpr uint64_t kSizeBytes = 1 << 20;
constexpr uint64_t kPlacesInCache = RecentWrites::kRecentBytes / kSizeBytes;

// Nothing is written there.
const void* Place(uint64_t number) {
  return reinterpret_cast<const void*>((uint64_t{1} << 40) +
                                       number * kSizeBytes);
}

TEST(RecentWritesTest, APlaceIsColdAtFirstAndThenNot) {
  RecentWrites writes;
  EXPECT_FALSE(writes.Note(Place(1), kSizeBytes));
  EXPECT_TRUE(writes.Note(Place(1), kSizeBytes));
  EXPECT_FALSE(writes.Note(Place(2), kSizeBytes));
}

TEST(RecentWritesTest, AFewPlacesInTurnStayWarm) {
  RecentWrites writes;
  for (uint64_t i = 0; i < 4; ++i) writes.Note(Place(i), kSizeBytes);
  for (uint64_t i = 0; i < 40; ++i) {
    EXPECT_TRUE(writes.Note(Place(i % 4), kSizeBytes)) << i;
  }
}

TEST(RecentWritesTest, APlaceIsColdWhenMuchElseWasWrittenSince) {
  RecentWrites writes;
  writes.Note(Place(0), kSizeBytes);
  for (uint64_t i = 1; i <= kPlacesInCache; ++i) {
    writes.Note(Place(i), kSizeBytes);
  }
  EXPECT_TRUE(writes.Note(Place(0), kSizeBytes));
  for (uint64_t i = 1; i <= kPlacesInCache + 1; ++i) {
    writes.Note(Place(100 + i), kSizeBytes);
  }
  EXPECT_FALSE(writes.Note(Place(0), kSizeBytes));
}

TEST(RecentWritesTest, ManyPlacesInTurnAreAlwaysCold) {
  RecentWrites writes;
  for (uint64_t i = 0; i < 4 * 128; ++i) {
    EXPECT_FALSE(writes.Note(Place(i % 128), kSizeBytes)) << i;
  }
}

}  // namespace
}  // namespace shmd
