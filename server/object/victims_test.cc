#include "server/object/victims.h"

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace shmd {
namespace {

// Objects of 64 bytes, one behind the other, used in the order of `uses`.
ArenaContents Arena(uint32_t number, const std::vector<uint64_t>& uses) {
  ArenaContents arena;
  arena.number = number;
  arena.size_bytes = 4096;
  for (size_t i = 0; i < uses.size(); ++i) {
    Candidate object;
    object.position = number * 1000 + static_cast<uint32_t>(i);
    object.offset_bytes = 64 * i;
    object.size_bytes = 64;
    object.worth.last_use = uses[i];
    object.may_go = true;
    arena.objects.push_back(object);
  }
  return arena;
}

std::vector<uint32_t> Positions(const std::vector<VictimGroup>& groups) {
  std::vector<uint32_t> positions;
  for (const VictimGroup& group : groups) {
    for (const Candidate& victim : group.victims) {
      positions.push_back(victim.position);
    }
  }
  return positions;
}

using Found = std::vector<uint32_t>;

TEST(ChooseRunsTest, TheLeastRecentlyUsedGoesFirst) {
  EXPECT_EQ(Positions(ChooseRuns({Arena(1, {5, 2, 9})}, 64)), Found{1001});
  EXPECT_EQ(Positions(ChooseRuns({Arena(1, {5, 2}), Arena(2, {7, 1})}, 10)),
            Found{2001});
}

TEST(ChooseRunsTest, PriorityCountsBeforeUse) {
  ArenaContents arena = Arena(1, {1, 2, 3});
  arena.objects[0].worth.priority = 2;
  arena.objects[1].worth.priority = 1;
  arena.objects[2].worth.priority = 1;
  EXPECT_EQ(Positions(ChooseRuns({arena}, 64)), Found{1001});
}

TEST(ChooseRunsTest, WhatMayNotGoIsSpared) {
  ArenaContents arena = Arena(1, {1, 2, 3});
  arena.objects[0].may_go = false;
  EXPECT_EQ(Positions(ChooseRuns({arena}, 64)), Found{1001});
  for (Candidate& object : arena.objects) object.may_go = false;
  EXPECT_TRUE(ChooseRuns({arena}, 64).empty());
}

TEST(ChooseRunsTest, NeighboursGoForAsMuchAsOneOfThemIsNotEnough) {
  // Neither the oldest nor the next is beside something as old.
  EXPECT_EQ(Positions(ChooseRuns({Arena(1, {1, 9, 2, 8, 5, 4})}, 128)),
            (Found{1004, 1005}));
  EXPECT_EQ(Positions(ChooseRuns({Arena(1, {1, 9, 2})}, 129)),
            (Found{1000, 1001, 1002}));
  EXPECT_TRUE(ChooseRuns({Arena(1, {1, 9, 2})}, 193).empty());
}

TEST(ChooseRunsTest, NothingGoesWhereItWouldNotMakeOnePiece) {
  ArenaContents arena = Arena(1, {1, 2, 3, 4, 5});
  arena.objects[2].may_go = false;
  EXPECT_TRUE(ChooseRuns({arena}, 192).empty());
  EXPECT_EQ(Positions(ChooseRuns({arena}, 128)), (Found{1000, 1001}));
}

TEST(ChooseRunsTest, ObjectsWithoutAByteLeaveSomething) {
  ArenaContents arena = Arena(1, {1});
  arena.objects[0].size_bytes = 0;
  EXPECT_EQ(Positions(ChooseRuns({arena}, 8)), Found{1000});
}

TEST(ChooseRunsTest, OfVeryManySomeMoreGoThanAsked) {
  std::vector<uint64_t> uses(10 * kObjectsPerFurtherVictim);
  for (size_t i = 0; i < uses.size(); ++i) uses[i] = i;
  const Found gone = Positions(ChooseRuns({Arena(1, uses)}, 64));
  EXPECT_EQ(gone.size(), 10u);
  EXPECT_EQ(*std::max_element(gone.begin(), gone.end()), 1009u);
}

TEST(ChooseArenasTest, WholeArenasGoUntilTheyAreEnough) {
  const std::vector<ArenaContents> arenas = {
      Arena(1, {1, 30}), Arena(2, {10, 20}), Arena(3, {5, 6})};
  EXPECT_EQ(Positions(ChooseArenas(arenas, 1)), (Found{3000, 3001}));
  EXPECT_EQ(Positions(ChooseArenas(arenas, 4097)),
            (Found{3000, 3001, 2000, 2001}));
  EXPECT_EQ(ChooseArenas(arenas, 1 << 20).size(), 3u);
}

TEST(ChooseArenasTest, AnArenaStaysWithOneObjectThatMust) {
  std::vector<ArenaContents> arenas = {Arena(1, {1, 2}), Arena(2, {3})};
  arenas[0].objects[1].may_go = false;
  const std::vector<VictimGroup> groups = ChooseArenas(arenas, 1);
  EXPECT_EQ(Positions(groups), Found{2000});
  EXPECT_TRUE(groups.front().is_whole_arena);
  EXPECT_EQ(groups.front().freed_bytes, 4096u);
}

// Of all runs of neighbours that are enough: how much the most valuable of one
// is worth at least.
std::optional<Worth> LeastWorth(const std::vector<ArenaContents>& arenas,
                                uint64_t size_bytes) {
  std::optional<Worth> least;
  for (const ArenaContents& arena : arenas) {
    for (size_t first = 0; first < arena.objects.size(); ++first) {
      Worth most;
      uint64_t bytes = 0;
      for (size_t i = first; i < arena.objects.size(); ++i) {
        const Candidate& object = arena.objects[i];
        if (!object.may_go) break;
        most = std::max(most, object.worth);
        bytes += std::max<uint64_t>((object.size_bytes + 7) / 8 * 8, 8);
        if (bytes < size_bytes) continue;
        if (!least.has_value() || most < *least) least = most;
        break;
      }
    }
  }
  return least;
}

TEST(ChooseRunsTest, NoOtherRunIsWorthLess) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::vector<ArenaContents> arenas;
    for (uint32_t number = 1; number <= 1 + random() % 3; ++number) {
      ArenaContents arena = Arena(number, std::vector<uint64_t>(random() % 12));
      uint64_t offset = 0;
      for (Candidate& object : arena.objects) {
        offset += random() % 3 * 8;
        object.offset_bytes = offset;
        object.size_bytes = random() % 100;
        offset += std::max<uint64_t>((object.size_bytes + 7) / 8 * 8, 8);
        object.worth.priority = static_cast<uint8_t>(random() % 3);
        object.worth.last_use = random() % 50;
        object.may_go = random() % 5 != 0;
      }
      arenas.push_back(std::move(arena));
    }
    const uint64_t size_bytes = 1 + random() % 300;
    const std::optional<Worth> least = LeastWorth(arenas, size_bytes);
    std::vector<ArenaContents> shuffled = arenas;
    for (ArenaContents& arena : shuffled) {
      std::shuffle(arena.objects.begin(), arena.objects.end(), random);
    }
    const auto groups = ChooseRuns(shuffled, size_bytes);
    ASSERT_EQ(groups.empty(), !least.has_value());
    if (groups.empty()) continue;
    ASSERT_EQ(groups.size(), 1u);
    Worth most;
    for (const Candidate& victim : groups[0].victims) {
      ASSERT_TRUE(victim.may_go);
      most = std::max(most, victim.worth);
    }
    ASSERT_FALSE(most < *least);
    ASSERT_FALSE(*least < most);
    ASSERT_GE(groups[0].freed_bytes, size_bytes);
  }
}

}  // namespace
}  // namespace shmd
