#include "shm/arena/extent_allocator.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/effort.h"

namespace shmd {
namespace {

constexpr uint64_t kGranule = ExtentAllocator::kGranuleBytes;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kAll = ~uint64_t{0};

TEST(ExtentAllocatorTest, GivesWholeGranulesAtTheAlignment) {
  ExtentAllocator allocator(kMiB);
  for (uint64_t alignment = 1; alignment <= 65536; alignment *= 2) {
    const auto extent = allocator.Allocate(100, alignment);
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->size_bytes, 128u);
    EXPECT_EQ(extent->offset_bytes % std::max(alignment, kGranule), 0u);
  }
}

TEST(ExtentAllocatorTest, NothingHasAPlaceOfItsOwn) {
  ExtentAllocator allocator(2 * kGranule);
  const auto first = allocator.Allocate(0);
  const auto second = allocator.Allocate(0);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_NE(first->offset_bytes, second->offset_bytes);
  EXPECT_FALSE(allocator.Allocate(0).has_value());
}

TEST(ExtentAllocatorTest, RefusesWhatCannotBe) {
  ExtentAllocator allocator(kMiB);
  EXPECT_FALSE(allocator.Allocate(kMiB + 1).has_value());
  EXPECT_FALSE(allocator.Allocate(~uint64_t{0}).has_value());
  EXPECT_FALSE(allocator.Allocate(64, 3 * 64).has_value());
  EXPECT_FALSE(allocator.Allocate(64, uint64_t{1} << 63).has_value());
  EXPECT_FALSE(allocator.Free(0));
  EXPECT_FALSE(allocator.Free(kMiB));
  EXPECT_TRUE(allocator.Allocate(kMiB).has_value());
  EXPECT_FALSE(allocator.Free(64));
  EXPECT_FALSE(allocator.Free(1));
  EXPECT_TRUE(allocator.Free(0));
  EXPECT_FALSE(allocator.Free(0));
}

TEST(ExtentAllocatorTest, LargestArenaIsUsedToItsEnd) {
  ExtentAllocator allocator(~uint64_t{0});
  EXPECT_EQ(allocator.size_bytes(), ExtentAllocator::kMaxSizeBytes);
  const auto whole = allocator.Allocate(ExtentAllocator::kMaxSizeBytes);
  ASSERT_TRUE(whole.has_value());
  EXPECT_FALSE(allocator.Allocate(1).has_value());
  EXPECT_TRUE(allocator.Free(*whole));
  EXPECT_EQ(allocator.FreeExtents().size(), 1u);
}

TEST(ExtentAllocatorTest, WhatWasFreedLastIsGivenFirst) {
  ExtentAllocator allocator(kMiB);
  std::vector<Extent> extents;
  for (int i = 0; i < 6; ++i) extents.push_back(*allocator.Allocate(5000));
  const uint64_t high_water = allocator.high_water_bytes();
  // Not neighbours, which would be joined.
  allocator.Free(extents[1]);
  allocator.Free(extents[3]);
  EXPECT_EQ(allocator.Allocate(5000)->offset_bytes, extents[3].offset_bytes);
  EXPECT_EQ(allocator.Allocate(5000)->offset_bytes, extents[1].offset_bytes);
  EXPECT_EQ(allocator.high_water_bytes(), high_water);
}

TEST(ExtentAllocatorTest, TouchedMemoryComesBeforeUntouched) {
  ExtentAllocator allocator(kMiB);
  const Extent large = *allocator.Allocate(kMiB / 2);
  allocator.Free(large);
  for (int i = 0; i < 8; ++i) {
    EXPECT_LT(allocator.Allocate(kMiB / 16)->offset_bytes, kMiB / 2);
  }
  EXPECT_EQ(allocator.high_water_bytes(), kMiB / 2);
  EXPECT_EQ(allocator.Allocate(64)->offset_bytes, kMiB / 2);
}

TEST(ExtentAllocatorTest, FreeEndIsGrownRatherThanLeft) {
  ExtentAllocator allocator(kMiB);
  const Extent half = *allocator.Allocate(kMiB / 2);
  allocator.Free(half);
  EXPECT_EQ(allocator.Allocate(kMiB)->offset_bytes, 0u);
}

TEST(ExtentAllocatorTest, IdlePagesAreToldOnceAndComeAfterWarmOnes) {
  ExtentAllocator allocator(kMiB);
  const Extent cold = *allocator.Allocate(100000);
  const Extent between = *allocator.Allocate(64);
  const Extent warm = *allocator.Allocate(100000);
  const Extent end = *allocator.Allocate(64);
  allocator.Free(cold);
  EXPECT_TRUE(allocator.TakeIdle({kMiB}).empty());
  const std::vector<Extent> idle = allocator.TakeIdle({65536});
  ASSERT_EQ(idle.size(), 1u);
  EXPECT_EQ(idle[0].offset_bytes, 0u);
  EXPECT_EQ(idle[0].size_bytes, cold.size_bytes / 4096 * 4096);
  EXPECT_TRUE(allocator.TakeIdle({4096}).empty());
  allocator.Free(warm);
  EXPECT_EQ(allocator.Allocate(5000)->offset_bytes, warm.offset_bytes);
  EXPECT_TRUE(allocator.Allocate(99000)->offset_bytes == cold.offset_bytes);
  allocator.Free(between);
  allocator.Free(end);
}

TEST(ExtentAllocatorTest, IdlePagesAreWholeAndFree) {
  ExtentAllocator allocator(kMiB);
  allocator.Allocate(64);
  const Extent middle = *allocator.Allocate(3 * 4096);
  allocator.Allocate(64);
  allocator.Free(middle);
  const std::vector<Extent> idle = allocator.TakeIdle({1});
  ASSERT_EQ(idle.size(), 1u);
  EXPECT_EQ(idle[0].offset_bytes, 4096u);
  EXPECT_EQ(idle[0].size_bytes, 2 * 4096u);
}

TEST(ExtentAllocatorTest, OnlyWhatHasBeenFreeForSoLongIsIdle) {
  ExtentAllocator allocator(kMiB);
  // Close to where the clock wraps.
  const uint32_t begin = ~uint32_t{0} - 10;
  const Extent first = *allocator.Allocate(100 * 4096);
  const Extent between = *allocator.Allocate(4096);
  const Extent second = *allocator.Allocate(100 * 4096);
  const Extent end = *allocator.Allocate(4096);
  allocator.Free(first.offset_bytes, begin);
  allocator.Free(second.offset_bytes, begin + 50);
  EXPECT_TRUE(allocator.TakeIdle({4096, kAll, begin + 99, 100}).empty());
  const std::vector<Extent> idle =
      allocator.TakeIdle({4096, kAll, begin + 100, 100});
  ASSERT_EQ(idle.size(), 1u);
  EXPECT_EQ(idle[0].offset_bytes, first.offset_bytes);
  EXPECT_EQ(allocator.TakeIdle({4096, kAll, begin + 150, 100}).size(), 1u);
  allocator.Free(between);
  allocator.Free(end);
}

TEST(ExtentAllocatorTest, SmallPieceDoesNotKeepALargeRunYoung) {
  ExtentAllocator allocator(kMiB);
  const Extent large = *allocator.Allocate(100 * 4096);
  allocator.Free(large.offset_bytes, 0);
  // It is cut from the large run, and joined with it again.
  for (uint32_t moment = 1; moment < 100; ++moment) {
    allocator.Free(allocator.Allocate(64)->offset_bytes, moment);
  }
  EXPECT_EQ(allocator.TakeIdle({4096, kAll, 100, 100}).size(), 1u);
}

TEST(ExtentAllocatorTest, LargePieceMakesASmallRunYoung) {
  ExtentAllocator allocator(kMiB);
  const Extent large = *allocator.Allocate(100 * 4096);
  const Extent small = *allocator.Allocate(10 * 4096);
  allocator.Free(small.offset_bytes, 0);
  allocator.Free(large.offset_bytes, 90);
  EXPECT_TRUE(allocator.TakeIdle({4096, kAll, 100, 100}).empty());
  EXPECT_EQ(allocator.TakeIdle({4096, kAll, 190, 100}).size(), 1u);
}

TEST(ExtentAllocatorTest, WhatWasGivenBackLendsNoAge) {
  ExtentAllocator allocator(kMiB);
  const Extent large = *allocator.Allocate(100 * 4096);
  const Extent small = *allocator.Allocate(10 * 4096);
  allocator.Free(large.offset_bytes, 0);
  EXPECT_EQ(allocator.TakeIdle({4096, kAll, 100, 100}).size(), 1u);
  allocator.Free(small.offset_bytes, 150);
  EXPECT_TRUE(allocator.TakeIdle({4096, kAll, 160, 100}).empty());
  EXPECT_EQ(allocator.TakeIdle({4096, kAll, 250, 100}).size(), 1u);
}

TEST(ExtentAllocatorTest, IdlePagesAreTakenInPiecesAndJoinedWhenNeeded) {
  ExtentAllocator allocator(kMiB);
  allocator.Free(*allocator.Allocate(kMiB));
  uint64_t end = 0;
  for (int i = 0; i < 3; ++i) {
    const std::vector<Extent> idle = allocator.TakeIdle({4096, 100000});
    ASSERT_EQ(idle.size(), 1u);
    EXPECT_EQ(idle[0].offset_bytes, end);
    EXPECT_EQ(idle[0].size_bytes, 100000 / 4096 * 4096u);
    end += idle[0].size_bytes;
  }
  // What is left of it is warm.
  EXPECT_EQ(allocator.Allocate(64)->offset_bytes, end);
  EXPECT_TRUE(allocator.Free(end));
  EXPECT_EQ(allocator.FreeExtents().size(), 1u);
  EXPECT_TRUE(allocator.Allocate(kMiB).has_value());
}

TEST(ExtentAllocatorTest, OnlyWhatIsInUseHasATag) {
  ExtentAllocator allocator(kMiB);
  EXPECT_EQ(allocator.FindTag(0), nullptr);
  ASSERT_TRUE(allocator.Allocate(100).has_value());
  *allocator.FindTag(0) = ~uint64_t{0};
  EXPECT_EQ(allocator.FindTag(64), nullptr);
  EXPECT_EQ(allocator.FindTag(1), nullptr);
  EXPECT_EQ(allocator.FindTag(kMiB), nullptr);
  ASSERT_TRUE(allocator.Free(0));
  EXPECT_EQ(allocator.FindTag(0), nullptr);
  ASSERT_TRUE(allocator.Allocate(100).has_value());
  EXPECT_EQ(*allocator.FindTag(0), 0u);
}

TEST(ExtentAllocatorTest, ReserveRefusesWhatIsInUse) {
  ExtentAllocator allocator(kMiB);
  ASSERT_TRUE(allocator.Reserve({4096, 100}));
  EXPECT_FALSE(allocator.Reserve({4096, 100}));
  EXPECT_FALSE(allocator.Reserve({4096 + 64, 1}));
  EXPECT_FALSE(allocator.Reserve({4096 - 64, 65}));
  EXPECT_FALSE(allocator.Reserve({0, kMiB}));
  EXPECT_FALSE(allocator.Reserve({1, 1}));
  EXPECT_FALSE(allocator.Reserve({kMiB, 0}));
  EXPECT_FALSE(allocator.Reserve({kMiB - 64, 65}));
  EXPECT_TRUE(allocator.Reserve({4096 - 64, 64}));
  EXPECT_TRUE(allocator.Reserve({4096 + 128, 8192}));
  EXPECT_TRUE(allocator.Free(4096));
  EXPECT_EQ(allocator.extents(), 2u);
  EXPECT_EQ(allocator.used_bytes(), 64u + 8192u);
}

// The allocator beside a model that knows only what is live.
class Model {
 public:
  explicit Model(uint64_t size_bytes)
      : size_bytes_(size_bytes), allocator_(size_bytes) {}

  void Allocate(uint64_t size_bytes, uint64_t alignment) {
    const auto extent = allocator_.Allocate(size_bytes, alignment);
    if (!extent.has_value()) {
      ExpectNoRoom(size_bytes, alignment);
      return;
    }
    ASSERT_GE(extent->size_bytes, size_bytes);
    ASSERT_LT(extent->size_bytes, size_bytes + kGranule + (size_bytes == 0));
    ASSERT_EQ(extent->offset_bytes % alignment, 0u);
    ASSERT_LE(extent->offset_bytes + extent->size_bytes, size_bytes_);
    const auto after = live_.lower_bound(extent->offset_bytes);
    if (after != live_.end()) {
      ASSERT_LE(extent->offset_bytes + extent->size_bytes, after->first);
    }
    if (after != live_.begin()) {
      const auto before = std::prev(after);
      ASSERT_LE(before->first + before->second, extent->offset_bytes);
    }
    uint64_t* const tag = allocator_.FindTag(extent->offset_bytes);
    ASSERT_NE(tag, nullptr);
    ASSERT_EQ(*tag, 0u);
    *tag = TagOf(extent->offset_bytes);
    live_.emplace(extent->offset_bytes, extent->size_bytes);
    offsets_.push_back(extent->offset_bytes);
    used_ += extent->size_bytes;
  }

  void FreeOne(uint64_t random) {
    if (offsets_.empty()) return;
    std::swap(offsets_[random % offsets_.size()], offsets_.back());
    const auto found = live_.find(offsets_.back());
    const uint64_t* const tag = allocator_.FindTag(found->first);
    ASSERT_NE(tag, nullptr);
    ASSERT_EQ(*tag, TagOf(found->first));
    ASSERT_TRUE(allocator_.Free(found->first, ++moment_));
    used_ -= found->second;
    live_.erase(found);
    offsets_.pop_back();
  }

  void FreeAll() {
    while (!offsets_.empty()) FreeOne(offsets_.size() * 7919);
  }

  void TakeIdle(uint64_t min_bytes, uint64_t max_bytes, uint32_t age) {
    uint64_t taken_bytes = 0;
    for (const Extent& idle :
         allocator_.TakeIdle({min_bytes, max_bytes, moment_, age})) {
      taken_bytes += idle.size_bytes;
      // Unless it was cut because that is enough.
      ASSERT_TRUE(idle.size_bytes >= min_bytes ||
                  taken_bytes + 4096 > max_bytes);
      ASSERT_LE(taken_bytes, max_bytes);
      const auto after = live_.lower_bound(idle.offset_bytes);
      ASSERT_TRUE(after == live_.end() ||
                  idle.offset_bytes + idle.size_bytes <= after->first);
      ASSERT_TRUE(after == live_.begin() ||
                  std::prev(after)->first + std::prev(after)->second <=
                      idle.offset_bytes);
    }
  }

  void Rebuild(std::mt19937_64& random) {
    ExtentAllocator rebuilt(size_bytes_);
    std::vector<uint64_t> order = offsets_;
    if (order.size() < 200) {
      std::shuffle(order.begin(), order.end(), random);
    } else {
      std::sort(order.begin(), order.end());
    }
    for (const uint64_t offset : order) {
      ASSERT_TRUE(rebuilt.Reserve({offset, live_[offset]}));
      *rebuilt.FindTag(offset) = TagOf(offset);
    }
    allocator_ = std::move(rebuilt);
  }

  void Check() const {
    ASSERT_EQ(allocator_.used_bytes(), used_);
    ASSERT_EQ(allocator_.extents(), live_.size());
    size_t visited = 0;
    allocator_.ForEachInUse([&](uint64_t offset, uint64_t tag) {
      ++visited;
      ASSERT_EQ(live_.count(offset), 1u);
      ASSERT_EQ(tag, TagOf(offset));
    });
    ASSERT_EQ(visited, live_.size());
    // The free ranges are the gaps between what is live, each in one piece.
    uint64_t at = 0;
    size_t next = 0;
    const std::vector<Extent> found = allocator_.FreeExtents();
    const auto expect_gap = [&](uint64_t end) {
      if (end == at) return;
      ASSERT_LT(next, found.size());
      ASSERT_EQ(found[next].offset_bytes, at);
      ASSERT_EQ(found[next].size_bytes, end - at);
      ++next;
    };
    for (const auto& [offset, size] : live_) {
      expect_gap(offset);
      at = offset + size;
    }
    expect_gap(size_bytes_);
    ASSERT_EQ(next, found.size());
  }

  size_t live() const { return live_.size(); }

 private:
  static uint64_t TagOf(uint64_t offset) {
    return offset * 0x9E3779B97F4A7C15 + 1;
  }

  void ExpectNoRoom(uint64_t size_bytes, uint64_t alignment) const {
    for (const Extent& gap : allocator_.FreeExtents()) {
      const uint64_t start =
          (gap.offset_bytes + alignment - 1) / alignment * alignment;
      ASSERT_GT(start + std::max<uint64_t>(size_bytes, 1),
                gap.offset_bytes + gap.size_bytes);
    }
  }

  const uint64_t size_bytes_;
  ExtentAllocator allocator_;
  std::map<uint64_t, uint64_t> live_;
  std::vector<uint64_t> offsets_;
  uint64_t used_ = 0;
  uint32_t moment_ = 0;
};

TEST(ExtentAllocatorTest, MillionRandomOperationsAgreeWithAModel) {
  const uint64_t operations = Effort(1000000);
  const uint64_t turn = std::min<uint64_t>(operations / 20, 50000);
  std::mt19937_64 random(20261122);
  Model model(256 * kMiB);
  size_t most_live = 0;
  // It fills up and empties in turn.
  for (uint64_t i = 0; i < operations && !testing::Test::HasFatalFailure();
       ++i) {
    const bool filling = (i / turn) % 2 == 0;
    if (random() % 8 < (filling ? 5 : 3)) {
      const uint64_t size = random() % (uint64_t{1} << (random() % 20));
      const uint64_t alignment =
          random() % 4 == 0 ? uint64_t{1} << (random() % 16) : 1;
      model.Allocate(size, alignment);
    } else {
      model.FreeOne(random());
    }
    if (i % turn == turn - 1) {
      most_live = std::max(most_live, model.live());
      model.Check();
      model.Check();
    }
    if (i % 1000 == 999) {
      model.TakeIdle(random() % 65536, random() % kMiB, random() % 50000);
    }
    if (i % (5 * turn) == 5 * turn - 1) model.Rebuild(random);
  }
  EXPECT_GT(most_live, turn / 10);
  model.FreeAll();
  model.Check();
  EXPECT_EQ(model.live(), 0u);
}

}  // namespace
}  // namespace shmd
