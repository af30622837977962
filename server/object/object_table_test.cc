#include "server/object/object_table.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "server/object/object_table_fixture.h"
#include "shm/lane/submission_ring.h"

namespace shmd {
namespace {

class ObjectTableTest : public ObjectTableFixture {
 protected:
  // Of the session without a lane; the same place again and again.
  void Put(const std::string& id, absl::Duration ttl) {
    PublishCommand command = Command(kMine, id);
    command.replace_existing = true;
    command.ttl = ttl;
    const auto made = table_->Publish(Session(kMine), command);
    ASSERT_TRUE(made.ok()) << made.status();
  }

  // As a program that calls, and so has no session of its own.
  absl::Status Replace(const PublishCommand& command) {
    return table_->Publish(Root(), command).status();
  }

  // Who has the arenas.
  static ObjectUser Root() {
    ObjectUser root;
    root.uid = 0;
    return root;
  }

  uint64_t Produced() const {
    return layout::HostMemory::Load(&answers_page()->header.produced,
                                    std::memory_order_acquire);
  }
};

TEST_F(ObjectTableTest, WhatIsGoneHasNoEndToWaitFor) {
  Put("a", absl::Hours(1));
  Put("a", absl::Hours(24));
  EXPECT_GT(table_->DoDue(), absl::Hours(23));
  ObjectUser administrator;
  administrator.is_administrator = true;
  ASSERT_TRUE(table_->Delete(administrator, Key("a"), 0).ok());
  EXPECT_EQ(table_->DoDue(), absl::InfiniteDuration());
}

TEST_F(ObjectTableTest, ManyThatEndAtOnceEndInSteps) {
  constexpr size_t kMany = 4090;
  for (size_t i = 0; i < kMany; ++i) {
    Put(absl::StrCat("first-", i), absl::Seconds(1));
  }
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(table_->DoDue(), absl::InfiniteDuration());
  EXPECT_TRUE(table_->List(0, 1).empty());
}

TEST_F(ObjectTableTest, WhoWaitedTooLongIsToldSoAtOnce) {
  SubmissionProducer ring(session_page(), answers_page());
  layout::Submission await = {};
  await.kind = static_cast<uint32_t>(layout::SubmissionKind::kAwait);
  await.cookie = 7;
  await.ttl_ns = 5'000'000;
  await.name_length = 6;
  std::memcpy(await.name, "absent", 6);
  ASSERT_TRUE(ring.Submit(await));
  table_->Rang(kOther);
  ASSERT_TRUE(table_->Serve());
  EXPECT_EQ(Produced(), 0u);
  EXPECT_LE(table_->DoDue(), absl::Milliseconds(5));
  clock_.Advance(absl::Milliseconds(6));
  table_->DoDue();
  ASSERT_EQ(Produced(), 1u);
  EXPECT_EQ(answers_page()->answers[0].cookie, 7u);
}

// It never reads that its objects are gone.
TEST_F(ObjectTableTest, NothingIsPublishedForWhoDoesNotListen) {
  PublishCommand command = Command(kOther, "a");
  command.replace_existing = true;
  absl::Status status;
  size_t published = 0;
  for (; published < 100'000 && status.ok(); ++published) {
    // Otherwise it is the same publication, served anew.
    command.size_bytes = 1 + published % 2;
    status = Replace(command);
  }
  EXPECT_EQ(GetErrorReason(status), reason::kAnswersUnread) << status;
  EXPECT_GT(published, 65'000u);
  EXPECT_TRUE(table_->Find(Key("a")).ok());
  // Others are not kept by it, and it can delete.
  Put("b", absl::InfiniteDuration());
  EXPECT_TRUE(table_->Delete(Root(), Key("a"), 0).ok());
}

TEST_F(ObjectTableTest, ManyPinsAreLookedAtNowAndThen) {
  const auto made = table_->Publish(Session(kOther), Command(kOther, "pinned"));
  ASSERT_TRUE(made.ok()) << made.status();
  FoundObject found;
  const PinResult pin = pins_->Pin(*reader_, Key("pinned"), &found);
  ASSERT_EQ(pin.outcome, PinOutcome::kPinned);
  session_page()->header.pins_used = layout::kMaxPins;
  const ObjectUser owner;
  ASSERT_TRUE(table_->Delete(owner, Key("pinned"), 0).ok());
  pins_->Unpin(pin.slot);
  ASSERT_TRUE(table_->Publish(Session(kOther), Command(kOther, "b")).ok());
  EXPECT_EQ(Produced(), 0u);  // that it is freed
  EXPECT_LE(table_->DoDue(), absl::Milliseconds(5));
  EXPECT_EQ(Produced(), 0u);
  clock_.Advance(absl::Milliseconds(5));
  table_->DoDue();
  EXPECT_EQ(Produced(), 1u);
}

TEST_F(ObjectTableTest, ABatchThatFindsNoRoomLosesNothing) {
  Put("kept", absl::InfiniteDuration());
  const uint64_t generation = table_->Find(Key("kept"))->generation;
  std::vector<PublishCommand> batch;
  for (size_t i = 0; i < kMaxEntries + 100; ++i) {
    batch.push_back(Command(kMine, absl::StrCat("new-", i)));
    batch.back().offset_bytes = 64 * (i % 1000);
  }
  batch[0].name = Key("kept");
  batch[0].replace_existing = true;
  const auto made = table_->PublishAll(Session(kMine), batch);
  EXPECT_EQ(GetErrorReason(made.status()), reason::kDirectoryFull)
      << made.status();
  ASSERT_TRUE(table_->Find(Key("kept")).ok());
  EXPECT_EQ(table_->Find(Key("kept"))->generation, generation);
  EXPECT_EQ(table_->List(0, 10).size(), 1u);
}

class UnusedPagesTest : public ObjectTableTest {
 protected:
  void PutAt(const std::string& id, uint64_t offset_bytes,
             uint64_t size_bytes) {
    PublishCommand command = Command(kOther, id, size_bytes);
    command.offset_bytes = offset_bytes;
    const auto made = table_->Publish(Session(kOther), command);
    ASSERT_TRUE(made.ok()) << made.status();
  }

  // Of the only arena that has any.
  std::string Unused() {
    const auto unused = table_->TakeUnusedPages();
    EXPECT_EQ(unused.size(), 1u);
    std::string text;
    for (const auto& arena : unused) {
      for (const Extent& run : arena.runs) {
        absl::StrAppend(&text, run.offset_bytes / 1024, "+",
                        run.size_bytes / 1024, " ");
      }
    }
    return text;
  }
};

TEST_F(UnusedPagesTest, AreThoseThatNothingIsInWhenAWriterEnds) {
  PutAt("a", 0, 100);
  PutAt("b", 10000, 5000);  // from within one page to within the next but one
  PutAt("c", 512 << 10, 4096);
  EXPECT_FALSE(table_->HasUnusedPages());
  table_->EndSession(kOther);
  ASSERT_TRUE(table_->HasUnusedPages());
  EXPECT_EQ(Unused(), "4+4 16+496 516+508 ");
  EXPECT_FALSE(table_->HasUnusedPages());
  // Nobody puts anything there any more.
  PublishCommand late = Command(kOther, "late");
  late.offset_bytes = 256 << 10;
  EXPECT_EQ(GetErrorReason(Replace(late)), reason::kArenaNotFound);
}

TEST_F(UnusedPagesTest, AreNotThoseOfWhatIsPinnedStill) {
  constexpr SessionId kReader = {3};
  const UniqueFd page = MakePage(sizeof(layout::SessionPage));
  const UniqueFd answers = MakePage(sizeof(layout::AnswersPage));
  auto lane = Lane::Open(page.get(), answers.get(), kReader, Caller());
  ASSERT_TRUE(lane.ok()) << lane.status();
  table_->AddLane(kReader, *std::move(lane));
  const sys::ScopedMmap memory =
      Map(page, sizeof(layout::SessionPage), /*writable=*/true);
  PinSet pins(static_cast<layout::SessionPage*>(memory.data()));
  PutAt("kept", 0, 100);
  PutAt("pinned", 4096, 300 << 10);
  FoundObject found;
  const PinResult pin = pins.Pin(*reader_, Key("pinned"), &found);
  ASSERT_EQ(pin.outcome, PinOutcome::kPinned);
  ASSERT_TRUE(table_->Delete(ObjectUser(), Key("pinned"), 0).ok());
  table_->EndSession(kOther);
  EXPECT_EQ(Unused(), "304+720 ");
  // Once it is free, that is as much as is worth it.
  pins.Unpin(pin.slot);
  table_->DoDue();
  ASSERT_TRUE(table_->HasUnusedPages());
  EXPECT_EQ(Unused(), "4+1020 ");
}

TEST_F(UnusedPagesTest, AreNotLookedForWhereThereIsLittle) {
  PutAt("large", 0, kArenaBytes - (200 << 10));
  table_->EndSession(kOther);
  EXPECT_FALSE(table_->HasUnusedPages());
}

}  // namespace
}  // namespace shmd
