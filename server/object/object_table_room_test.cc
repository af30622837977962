// What goes when room is made, against a simple account of the same.

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/object/object_table.h"
#include "server/object/object_table_fixture.h"

namespace shmd {
namespace {

class RoomModelTest : public ObjectTableFixture {
 protected:
  struct Known {
    uint32_t position = 0;
    uint8_t priority = 0;
    uint64_t last_use = 0;
    absl::Time leased_until = absl::InfinitePast();
    std::vector<uint32_t> pins;  // slots
  };

  void Publish(const SessionId& session, const std::string& id,
               uint8_t priority) {
    PublishCommand command = Command(session, id);
    command.priority = priority;
    const auto made = table_->Publish(Session(session), command);
    ASSERT_TRUE(made.ok()) << made.status();
    if (session != kMine) return;
    Known known;
    known.position = made->position;
    known.priority = priority;
    known.last_use = ++last_use_;
    known_[id] = known;
  }

  void Pin(const std::string& id) {
    FoundObject found;
    const PinResult pin = pins_->Pin(*reader_, Key(id), &found);
    ASSERT_EQ(pin.outcome, PinOutcome::kPinned);
    known_[id].pins.push_back(pin.slot);
    // The daemon learns of it when it looks.
    uses_.push_back(found.position);
  }

  void Unpin(const std::string& id) {
    for (const uint32_t slot : known_[id].pins) pins_->Unpin(slot);
    known_[id].pins.clear();
  }

  void LearnUses() {
    for (const uint32_t position : uses_) {
      for (auto& [id, known] : known_) {
        if (known.position == position) known.last_use = ++last_use_;
      }
    }
    uses_.clear();
  }

  // By the account; empty when nothing may go.
  std::string NextVictim() {
    const std::pair<const std::string, Known>* least = nullptr;
    for (const auto& one : known_) {
      const Known& known = one.second;
      if (!known.pins.empty() || known.leased_until > clock_.WallTime()) {
        continue;
      }
      if (least == nullptr ||
          std::make_pair(known.priority, known.last_use) <
              std::make_pair(least->second.priority, least->second.last_use)) {
        least = &one;
      }
    }
    return least == nullptr ? "" : least->first;
  }

  std::map<std::string, Known> known_;  // those that may go, at some time
  std::vector<uint32_t> uses_;
  uint64_t last_use_ = 0;
};

TEST_F(RoomModelTest, WhatGoesIsWhatTheAccountSays) {
  std::mt19937 random(7);
  size_t evictions = 0, refusals = 0;
  const auto any = [&] {
    return std::next(known_.begin(),
                     static_cast<ptrdiff_t>(random() % known_.size()))
        ->first;
  };
  for (int step = 0; step < 6000; ++step) {
    const uint32_t what = random() % 10;
    if (known_.size() < 3 || (what < 4 && known_.size() < 8)) {
      Publish(kMine, absl::StrCat("mine-", step),
              static_cast<uint8_t>(random() % 3));
    } else if (what == 4) {
      Publish(kOther, absl::StrCat("other-", step), 0);
    } else if (what == 5) {
      Pin(any());
    } else if (what == 6) {
      const std::string id = any();
      Pin(id);
      Unpin(id);
    } else if (what == 7) {
      const std::string id = any();
      const auto ttl = absl::Seconds(1 + random() % 20);
      const auto leased = table_->Lease(
          Key(id), 0, ttl, [](const ObjectView&) { return absl::OkStatus(); });
      ASSERT_TRUE(leased.ok()) << leased.status();
      ASSERT_TRUE(leased->lease_expire_time.has_value());
      EXPECT_GE(*leased->lease_expire_time, clock_.WallTime() + ttl);
      known_[id].leased_until = *leased->lease_expire_time;
    } else if (what == 8) {
      clock_.Advance(absl::Seconds(random() % 5));
      Unpin(any());
    } else {
      LearnUses();
      const std::string expected = NextVictim();
      const auto groups = table_->ChooseVictims(kMine, kObjectBytes);
      ASSERT_EQ(groups.empty(), expected.empty()) << step;
      if (groups.empty()) {
        ++refusals;
        continue;
      }
      ASSERT_EQ(groups.size(), 1u);
      ASSERT_EQ(groups[0].victims.size(), 1u);
      ASSERT_EQ(groups[0].victims[0].position, known_[expected].position)
          << step << " " << expected;
      ASSERT_EQ(table_->Evict(groups), kObjectBytes);
      ASSERT_FALSE(table_->Find(Key(expected)).ok());
      known_.erase(expected);
      ++evictions;
    }
  }
  for (const auto& [id, known] : known_) {
    EXPECT_TRUE(table_->Find(Key(id)).ok()) << id;
  }
  EXPECT_GT(evictions, 100u);
  EXPECT_GT(refusals, 0u);
}

TEST_F(RoomModelTest, WhatIsUsedSinceItWasChosenStays) {
  Publish(kMine, "a", 0);
  Publish(kMine, "b", 0);
  const auto groups = table_->ChooseVictims(kMine, kObjectBytes);
  ASSERT_EQ(groups.size(), 1u);
  Pin("a");
  EXPECT_EQ(table_->Evict(groups), 0u);
  EXPECT_FALSE(table_->BeginSpill(groups[0]).ok());
  Unpin("a");
  // Another of that name is not what was chosen.
  ObjectUser administrator;
  administrator.is_administrator = true;
  ASSERT_TRUE(table_->Delete(administrator, Key("a"), 0).ok());
  Publish(kMine, "a", 0);
  EXPECT_EQ(table_->Evict(groups), 0u);
  EXPECT_TRUE(table_->Find(Key("a")).ok());
}

// Nothing can be put beside them: what comes back is the arena.
TEST_F(RoomModelTest, StrictObjectsGoWithTheirArenas) {
  const SegmentView sealed = View(kArenaBytes);
  auto segment = std::make_shared<Segment>(*sealed.segment);
  segment->state = SegmentState::kSealed;
  constexpr uint32_t kStrictArena = 9;
  table_->AddArena(kStrictArena, {nullptr, segment, 0}, kMine);
  PublishCommand command;
  command.name = Key("strict");
  command.arena = kStrictArena;
  command.size_bytes = kObjectBytes;
  command.strict = true;
  ObjectUser user;
  user.session = kMine;
  ASSERT_TRUE(table_->Publish(user, command).ok());
  // One that shares an arena is enough for what fits there.
  Publish(kMine, "a", 255);
  const auto small = table_->ChooseVictims(kMine, kObjectBytes);
  ASSERT_EQ(small.size(), 1u);
  EXPECT_EQ(small[0].victims[0].position, known_["a"].position);
  Pin("a");
  const auto groups = table_->ChooseVictims(kMine, kArenaBytes);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_TRUE(groups[0].is_whole_arena);
  EXPECT_EQ(groups[0].arena, kStrictArena);
  EXPECT_GT(table_->Evict(groups), 0u);
  EXPECT_FALSE(table_->Find(Key("strict")).ok());
  EXPECT_TRUE(table_->Find(Key("a")).ok());
}

TEST_F(RoomModelTest, WhatThePageSaysLeadsNowhere) {
  Publish(kMine, "a", 0);
  Publish(kMine, "b", 0);
  auto* const header = &static_cast<layout::SessionPage*>(page_.data())->header;
  for (uint32_t i = 0; i < layout::kRecentUses; ++i) {
    header->recent[i] = 0xFFFFFFFF - i * 0x01010101;
  }
  for (const uint64_t count : {~uint64_t{0}, uint64_t{1}, uint64_t{1} << 40}) {
    header->recent_count = count;
    const auto groups = table_->ChooseVictims(kMine, kObjectBytes);
    ASSERT_EQ(groups.size(), 1u);
    EXPECT_EQ(groups[0].victims[0].position, known_["a"].position);
  }
}

}  // namespace
}  // namespace shmd
