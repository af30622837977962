#include "shm/lane/answer_ring.h"

#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

using layout::Answer;
using layout::AnswerKind;
using layout::kAnswers;
using layout::kSubmissions;

class AnswerRingTest : public testing::Test {
 protected:
  static constexpr uint64_t kFreedRoom = kAnswers - kSubmissions;

  static Answer Numbered(AnswerKind kind, uint64_t number) {
    Answer answer = {};
    answer.kind = static_cast<uint32_t>(kind);
    answer.cookie = number;
    answer.value = ~number;
    return answer;
  }
  static Answer Done(uint64_t number) {
    return Numbered(AnswerKind::kDone, number);
  }
  static Answer Freed(uint64_t number) {
    return Numbered(AnswerKind::kFreed, number);
  }

  std::vector<Answer> PollAll() {
    std::vector<Answer> all(2 * kAnswers);
    all.resize(consumer_.Poll(absl::MakeSpan(all)));
    for (const Answer& answer : all) EXPECT_EQ(answer.value, ~answer.cookie);
    return all;
  }

  const std::unique_ptr<layout::SessionPage> session_ =
      std::make_unique<layout::SessionPage>();
  const std::unique_ptr<layout::AnswersPage> answers_ =
      std::make_unique<layout::AnswersPage>();
  AnswerProducer producer_{answers_.get(), session_.get()};
  AnswerConsumer consumer_{answers_.get(), session_.get()};
};

TEST_F(AnswerRingTest, NothingIsSeenBeforePublish) {
  producer_.Took(1);
  ASSERT_TRUE(producer_.Done(Done(1)));
  EXPECT_TRUE(PollAll().empty());
  producer_.Publish();
  EXPECT_EQ(PollAll().size(), 1u);
}

TEST_F(AnswerRingTest, KeepsOrderRoundTheRing) {
  uint64_t made = 0, read = 0;
  for (int round = 0; round < 2000; ++round) {
    for (int i = 0; i < round % 5; ++i) {
      producer_.Took(1);
      ASSERT_TRUE(producer_.Done(Done(made++)));
    }
    producer_.Publish();
    for (const Answer& answer : PollAll()) EXPECT_EQ(answer.cookie, read++);
  }
  EXPECT_EQ(read, made);
}

TEST_F(AnswerRingTest, FreedNeverTakesTheRoomOfDone) {
  for (uint64_t i = 0; i < 3 * kAnswers; ++i) producer_.Freed(Freed(i));
  EXPECT_EQ(producer_.kept_back(), 3 * kAnswers - kFreedRoom);
  ASSERT_EQ(producer_.TakeLimit(), kSubmissions);
  producer_.Took(kSubmissions);
  EXPECT_EQ(producer_.TakeLimit(), 0u);
  for (uint64_t i = 0; i < kSubmissions; ++i) {
    ASSERT_TRUE(producer_.Done(Done(i)));
  }
  EXPECT_FALSE(producer_.Done(Done(0)));
  producer_.Publish();
  // As many as there are slots, and none was written over.
  const std::vector<Answer> all = PollAll();
  ASSERT_EQ(all.size(), kAnswers);
  EXPECT_EQ(all.front().cookie, 0u);
  EXPECT_EQ(all.back().kind, static_cast<uint32_t>(AnswerKind::kDone));
}

TEST_F(AnswerRingTest, WhatWasKeptBackComesWhenThereIsRoom) {
  for (uint64_t i = 0; i < 3 * kAnswers; ++i) producer_.Freed(Freed(i));
  uint64_t read = 0;
  while (read < 3 * kAnswers) {
    producer_.Publish();
    EXPECT_FALSE(producer_.HasMore());
    const std::vector<Answer> some = PollAll();
    ASSERT_FALSE(some.empty());
    for (const Answer& answer : some) EXPECT_EQ(answer.cookie, read++);
    EXPECT_EQ(producer_.HasMore(), producer_.kept_back() > 0);
  }
  EXPECT_EQ(producer_.kept_back(), 0u);
}

TEST_F(AnswerRingTest, InTurnIsBehindWhatWasKeptBack) {
  producer_.Took(2);
  for (uint64_t i = 0; i < 3 * kAnswers; ++i) producer_.Freed(Freed(i));
  ASSERT_TRUE(producer_.DoneInTurn(Done(3 * kAnswers)));
  // The other is not held up.
  ASSERT_TRUE(producer_.Done(Done(7)));
  std::vector<Answer> all;
  while (producer_.kept_back() > 0 || all.size() < 3 * kAnswers + 2) {
    producer_.Publish();
    const std::vector<Answer> some = PollAll();
    ASSERT_FALSE(some.empty());
    all.insert(all.end(), some.begin(), some.end());
  }
  EXPECT_EQ(all.back().cookie, 3 * kAnswers);
  EXPECT_EQ(all.back().kind, static_cast<uint32_t>(AnswerKind::kDone));
  EXPECT_EQ(all[kFreedRoom].cookie, 7u);
  // Both are answered, so as many can be taken as at first.
  EXPECT_FALSE(producer_.Done(Done(0)));
  EXPECT_EQ(producer_.TakeLimit(), kSubmissions);
}

TEST_F(AnswerRingTest, ReaderOfAFullRingRingsForWhatWasKeptBack) {
  answers_->header.asleep = 1;
  for (uint64_t i = 0; i < kFreedRoom - 1; ++i) producer_.Freed(Freed(i));
  producer_.Publish();
  PollAll();
  EXPECT_FALSE(consumer_.NeedsDoorbell());
  producer_.Freed(Freed(0));
  producer_.Publish();
  PollAll();
  EXPECT_TRUE(consumer_.NeedsDoorbell());
  EXPECT_FALSE(consumer_.NeedsDoorbell());
}

TEST_F(AnswerRingTest, SubmitsNoMoreThanCanBeAnsweredToWhoReadsNothing) {
  uint64_t taken = 0;
  while (const uint64_t limit = producer_.TakeLimit()) {
    producer_.Took(limit);
    taken += limit;
    for (uint64_t i = 0; i < limit; ++i) {
      ASSERT_TRUE(producer_.Done(Done(i)));
    }
  }
  EXPECT_EQ(taken, kAnswers);
}

TEST_F(AnswerRingTest, CounterOfWhatWasNeverPublishedBreaksIt) {
  producer_.Took(2);
  producer_.Done(Done(0));
  producer_.Publish();
  producer_.Done(Done(1));
  session_->header.answers_read = 2;
  EXPECT_EQ(producer_.TakeLimit(), 0u);
  EXPECT_TRUE(producer_.broken());
  EXPECT_FALSE(producer_.Publish());
}

TEST_F(AnswerRingTest, CounterThatGoesBackBreaksIt) {
  producer_.Took(2);
  producer_.Done(Done(0));
  producer_.Done(Done(1));
  producer_.Publish();
  PollAll();
  EXPECT_GT(producer_.TakeLimit(), 0u);
  session_->header.answers_read = 1;
  EXPECT_EQ(producer_.TakeLimit(), 0u);
  EXPECT_TRUE(producer_.broken());
}

TEST_F(AnswerRingTest, ReaderSurvivesADamagedCounter) {
  answers_->header.produced = kAnswers + 1;
  EXPECT_TRUE(PollAll().empty());
  EXPECT_TRUE(consumer_.broken());
}

TEST_F(AnswerRingTest, WakesOnlyWhoWaits) {
  producer_.Publish();
  producer_.Took(2);
  producer_.Done(Done(0));
  EXPECT_FALSE(producer_.Publish());
  session_->header.waiting = 1;
  EXPECT_FALSE(producer_.Publish());
  producer_.Done(Done(1));
  EXPECT_TRUE(producer_.Publish());
}

TEST_F(AnswerRingTest, NewRunWakesWhomTheLastOneLeftAsleep) {
  producer_.Took(1);
  producer_.Done(Done(0));
  session_->header.waiting = 1;
  EXPECT_TRUE(producer_.Publish());  // and dies before it wakes anybody
  AnswerProducer next(answers_.get(), session_.get());
  EXPECT_TRUE(next.Publish());
  EXPECT_FALSE(next.Publish());
}

TEST_F(AnswerRingTest, WaitEndsAtItsDeadline) {
  EXPECT_FALSE(consumer_.Wait(absl::InfinitePast()));
  EXPECT_FALSE(consumer_.Wait(absl::Now() + absl::Milliseconds(1)));
  EXPECT_EQ(session_->header.waiting, 0u);
}

TEST_F(AnswerRingTest, WaitIsInterruptedUnderWayAndBefore) {
  consumer_.Interrupt();
  EXPECT_FALSE(consumer_.Wait(absl::InfiniteFuture()));
  for (int i = 0; i < 100; ++i) {
    std::thread waiter(
        [&] { EXPECT_FALSE(consumer_.Wait(absl::InfiniteFuture())); });
    consumer_.Interrupt();
    waiter.join();
  }
}

TEST_F(AnswerRingTest, WaitReturnsForEveryAnswer) {
  constexpr uint64_t kRounds = 20000;
  std::thread program([&] {
    for (uint64_t read = 0; read < kRounds;) {
      ASSERT_TRUE(consumer_.Wait(absl::InfiniteFuture()));
      for (const Answer& answer : PollAll()) {
        ASSERT_EQ(answer.cookie, read++);
      }
    }
  });
  for (uint64_t i = 0; i < kRounds;) {
    if (producer_.TakeLimit() == 0) continue;
    producer_.Took(1);
    ASSERT_TRUE(producer_.Done(Done(i++)));
    if (producer_.Publish()) HostSleep::Wake(&answers_->header.produced);
  }
  program.join();
}

}  // namespace
}  // namespace shmd
