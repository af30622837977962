#include "client/cpp/arena_views.h"

#include <memory>

#include "gtest/gtest.h"

namespace shmd {
namespace {

std::unique_ptr<ArenaView> ViewOf(uint64_t size_bytes) {
  auto view = std::make_unique<ArenaView>();
  view->size_bytes = size_bytes;
  return view;
}

TEST(ArenaViewsTest, AnArenaIsNeverTakenForAnother) {
  ArenaViews views;
  const uint32_t numbers[] = {1,          1 + ArenaViews::kSlots,
                              1 + 65536,  1 + (1u << 28),
                              UINT32_MAX, UINT32_MAX - ArenaViews::kSlots};
  for (const uint32_t number : numbers) {
    EXPECT_EQ(views.Find(number), nullptr);
    views.Add(number, ViewOf(number));
  }
  for (int i = 0; i < 2; ++i) {
    for (const uint32_t number : numbers) {
      const ArenaView* found = views.Find(number);
      EXPECT_TRUE(found == nullptr || found->size_bytes == number);
      found = views.FindAnywhere(number);
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->size_bytes, number);
      EXPECT_EQ(views.Find(number), found);
    }
  }
  EXPECT_EQ(views.FindAnywhere(2), nullptr);
}

TEST(ArenaViewsTest, WhatIsTakenIsGoneAndNothingElse) {
  ArenaViews views;
  constexpr uint32_t kOther = 7 + ArenaViews::kSlots;
  views.Add(7, ViewOf(7));
  views.Add(kOther, ViewOf(kOther));
  // The other one has the slot.
  EXPECT_EQ(views.Take(7)->size_bytes, 7u);
  EXPECT_EQ(views.Take(7), nullptr);
  EXPECT_EQ(views.FindAnywhere(7), nullptr);
  ASSERT_NE(views.Find(kOther), nullptr);
  EXPECT_EQ(views.Find(kOther)->size_bytes, kOther);
  EXPECT_NE(views.Take(kOther), nullptr);
  EXPECT_EQ(views.Find(kOther), nullptr);
}

}  // namespace
}  // namespace shmd
