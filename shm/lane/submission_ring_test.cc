#include "shm/lane/submission_ring.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace shmd {
namespace {

using layout::kSubmissions;
using layout::Submission;

class SubmissionRingTest : public testing::Test {
 protected:
  static Submission Numbered(uint64_t number) {
    Submission submission = {};
    submission.kind = static_cast<uint32_t>(layout::SubmissionKind::kPublish);
    submission.cookie = number;
    submission.reserved = ~number;
    return submission;
  }

  // Takes up to `limit` and expects them to be numbered on.
  size_t TakeNext(size_t limit = 2 * kSubmissions) {
    std::vector<Submission> out(limit);
    const TakeResult taken = consumer_.Take(absl::MakeSpan(out));
    for (size_t i = 0; i < taken.count; ++i, ++next_) {
      EXPECT_EQ(out[i].cookie, next_);
      EXPECT_EQ(out[i].reserved, ~next_);
    }
    return taken.count;
  }

  const std::unique_ptr<layout::SessionPage> session_ =
      std::make_unique<layout::SessionPage>();
  const std::unique_ptr<layout::AnswersPage> answers_ =
      std::make_unique<layout::AnswersPage>();
  SubmissionProducer producer_{session_.get(), answers_.get()};
  SubmissionConsumer consumer_{session_.get(), answers_.get()};
  uint64_t next_ = 0;
};

TEST_F(SubmissionRingTest, TakesInOrderEachOnceRoundTheRing) {
  uint64_t made = 0;
  for (int round = 0; round < 1000; ++round) {
    for (int i = 0; i < round % 7; ++i) {
      ASSERT_TRUE(producer_.Submit(Numbered(made++)));
    }
    const size_t count = TakeNext(3 + round % 5);
    producer_.Answered(count);
  }
  while (TakeNext() > 0) {
  }
  EXPECT_EQ(next_, made);
  EXPECT_EQ(answers_->header.taken, made);
}

TEST_F(SubmissionRingTest, IsFullAtItsCapacityAndNotBefore) {
  for (uint64_t i = 0; i < kSubmissions; ++i) {
    ASSERT_TRUE(producer_.Submit(Numbered(i)));
  }
  EXPECT_FALSE(producer_.Submit(Numbered(kSubmissions)));
  EXPECT_EQ(TakeNext(1), 1u);
  // The slot is free, but there would be more unanswered than have room.
  EXPECT_FALSE(producer_.Submit(Numbered(kSubmissions)));
  producer_.Answered();
  EXPECT_TRUE(producer_.Submit(Numbered(kSubmissions)));
  EXPECT_EQ(TakeNext(), kSubmissions);
}

TEST_F(SubmissionRingTest, AnsweredWithoutTakenDoesNotFreeASlot) {
  for (uint64_t i = 0; i < kSubmissions; ++i) {
    ASSERT_TRUE(producer_.Submit(Numbered(i)));
  }
  producer_.Answered(kSubmissions);
  EXPECT_FALSE(producer_.Submit(Numbered(kSubmissions)));
}

TEST_F(SubmissionRingTest, RingsTheBellOnlyOfADaemonThatSleeps) {
  ASSERT_TRUE(producer_.Submit(Numbered(0)));
  EXPECT_FALSE(producer_.NeedsDoorbell());
  answers_->header.asleep = 1;
  EXPECT_TRUE(producer_.NeedsDoorbell());
}

TEST_F(SubmissionRingTest, CounterAheadOfTheRingBreaksItOnce) {
  session_->header.submitted = kSubmissions + 1;
  std::vector<Submission> out(4);
  EXPECT_TRUE(consumer_.HasMore());
  EXPECT_TRUE(consumer_.Take(absl::MakeSpan(out)).broke);
  EXPECT_TRUE(consumer_.broken());
  session_->header.submitted = 1;
  const TakeResult after = consumer_.Take(absl::MakeSpan(out));
  EXPECT_FALSE(after.broke);
  EXPECT_EQ(after.count, 0u);
  EXPECT_FALSE(consumer_.HasMore());
}

TEST_F(SubmissionRingTest, CounterThatGoesBackBreaksIt) {
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(producer_.Submit(Numbered(i)));
  ASSERT_EQ(TakeNext(4), 4u);
  std::vector<Submission> out(4);
  // Not behind what was taken, but behind what was seen.
  session_->header.submitted = 7;
  EXPECT_TRUE(consumer_.Take(absl::MakeSpan(out)).broke);
}

TEST_F(SubmissionRingTest, WholeRingAheadIsAllowed) {
  session_->header.submitted = kSubmissions;
  std::vector<Submission> out(kSubmissions);
  EXPECT_EQ(consumer_.Take(absl::MakeSpan(out)).count, kSubmissions);
}

TEST_F(SubmissionRingTest, AnotherRunGoesOnWhereTheLastTook) {
  for (uint64_t i = 0; i < 9; ++i) ASSERT_TRUE(producer_.Submit(Numbered(i)));
  ASSERT_EQ(TakeNext(4), 4u);
  consumer_ = SubmissionConsumer(session_.get(), answers_.get());
  EXPECT_EQ(answers_->header.lost_before, 4u);
  EXPECT_EQ(TakeNext(), 5u);
}

TEST_F(SubmissionRingTest, DamagedAnswersOnlyMakeItFull) {
  answers_->header.taken = 5;
  EXPECT_FALSE(producer_.Submit(Numbered(0)));
}

}  // namespace
}  // namespace shmd
