#include "shm/lane/session_lane.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace shmd {
namespace {

using layout::Answer;
using layout::kAnswers;
using layout::kSubmissions;
using layout::Submission;

struct Session {
  std::unique_ptr<layout::SessionPage> page =
      std::make_unique<layout::SessionPage>();
  std::unique_ptr<layout::AnswersPage> answers =
      std::make_unique<layout::AnswersPage>();
  SubmissionProducer producer{page.get(), answers.get()};
  SessionLane lane{page.get(), answers.get()};
};

TEST(SessionLaneTest, BreaksOnceWhicheverRingIsBroken) {
  for (const bool answers : {false, true}) {
    Session session;
    (answers ? session.page->header.answers_read
             : session.page->header.submitted) = ~uint64_t{0};
    std::vector<Submission> out(4);
    EXPECT_TRUE(session.lane.Take(absl::MakeSpan(out)).broke);
    EXPECT_TRUE(session.lane.broken());
    EXPECT_FALSE(session.lane.Take(absl::MakeSpan(out)).broke);
    EXPECT_FALSE(session.lane.HasWork());
    EXPECT_FALSE(session.lane.Done({}));
    EXPECT_FALSE(session.lane.Publish());
  }
}

TEST(SessionLaneTest, WhoReadsNoAnswersIsNoWork) {
  Session session;
  std::vector<Submission> out(kSubmissions);
  for (uint64_t i = 0; i < kAnswers; ++i) {
    ASSERT_TRUE(session.producer.Submit({}));
    session.producer.Answered();
    ASSERT_EQ(session.lane.Take(absl::MakeSpan(out)).count, 1u);
    ASSERT_TRUE(session.lane.Done({}));
  }
  session.lane.Publish();
  ASSERT_TRUE(session.producer.Submit({}));
  EXPECT_FALSE(session.lane.HasWork());
  EXPECT_EQ(session.lane.Take(absl::MakeSpan(out)).count, 0u);
  session.page->header.answers_read = 1;
  EXPECT_TRUE(session.lane.HasWork());
  EXPECT_EQ(session.lane.Take(absl::MakeSpan(out)).count, 1u);
}

TEST(LaneSetTest, SleepsOnlyWhenAllRingsAreEmpty) {
  Session first, second;
  LaneSet set;
  set.Add(&first.lane);
  set.Add(&second.lane);
  ASSERT_TRUE(second.producer.Submit({}));
  EXPECT_FALSE(set.FallAsleep());
  EXPECT_TRUE(first.producer.NeedsDoorbell());
  EXPECT_FALSE(second.producer.NeedsDoorbell());
  ASSERT_EQ(set.hot().size(), 1u);
  EXPECT_EQ(set.hot()[0], &second.lane);
  std::vector<Submission> out(4);
  second.lane.Take(absl::MakeSpan(out));
  EXPECT_TRUE(set.FallAsleep());
  EXPECT_TRUE(second.producer.NeedsDoorbell());
  set.Rang(&first.lane);
  set.Rang(&first.lane);
  EXPECT_EQ(set.hot().size(), 1u);
  EXPECT_FALSE(first.producer.NeedsDoorbell());
}

TEST(LaneSetTest, CoolsOnlyAnEmptyRing) {
  Session session;
  LaneSet set;
  set.Add(&session.lane);
  ASSERT_TRUE(session.producer.Submit({}));
  EXPECT_FALSE(set.Cool(&session.lane));
  EXPECT_FALSE(session.producer.NeedsDoorbell());
  std::vector<Submission> out(4);
  session.lane.Take(absl::MakeSpan(out));
  EXPECT_TRUE(set.Cool(&session.lane));
  EXPECT_TRUE(session.producer.NeedsDoorbell());
  EXPECT_TRUE(set.hot().empty());
}

TEST(LaneSetTest, WhatIsKeptBackKeepsItAwakeOnlyWhenThereIsRoom) {
  Session session;
  LaneSet set;
  set.Add(&session.lane);
  for (uint64_t i = 0; i < kAnswers; ++i) session.lane.Freed({});
  session.lane.Publish();
  ASSERT_GT(session.lane.kept_back(), 0u);
  EXPECT_TRUE(set.FallAsleep());
  set.Rang(&session.lane);
  session.page->header.answers_read = 1;
  EXPECT_FALSE(set.FallAsleep());
  session.lane.Publish();
  EXPECT_TRUE(set.FallAsleep());
}

TEST(LaneSetTest, RemovedLanesAreForgotten) {
  Session first, second;
  LaneSet set;
  set.Add(&first.lane);
  set.Add(&second.lane);
  set.Remove(&first.lane);
  ASSERT_EQ(set.hot().size(), 1u);
  EXPECT_TRUE(set.FallAsleep());
  set.Remove(&second.lane);
  EXPECT_TRUE(set.hot().empty());
}

}  // namespace
}  // namespace shmd
