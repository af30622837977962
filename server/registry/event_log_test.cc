#include "server/registry/event_log.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

std::shared_ptr<Segment> SegmentOf(const std::string& id) {
  auto segment = std::make_shared<Segment>();
  segment->name = {"default", id};
  return segment;
}

class EventLogTest : public testing::Test {
 protected:
  FakeClock clock_;
};

TEST_F(EventLogTest, ReadsInOrderFromAnyPlace) {
  EventLog log(7, 10, &clock_);
  const EventLog::Reader reader(&log);
  EXPECT_EQ(log.LastRevision(), 0u);
  const auto first = SegmentOf("a"), second = SegmentOf("b");
  log.Append(EventType::kCreated, first);
  log.Append(EventType::kUpdated, second, first);
  EXPECT_EQ(first->revision, 1u);
  EXPECT_EQ(second->revision, 2u);
  auto event = reader.NextAfter(0);
  ASSERT_TRUE(event.ok() && event->has_value());
  EXPECT_EQ((*event)->segment, first);
  EXPECT_EQ((*event)->previous, nullptr);
  event = reader.NextAfter(1);
  ASSERT_TRUE(event.ok() && event->has_value());
  EXPECT_EQ((*event)->type, EventType::kUpdated);
  EXPECT_EQ((*event)->previous, first);
  event = reader.NextAfter(2);
  ASSERT_TRUE(event.ok());
  EXPECT_FALSE(event->has_value());
}

TEST_F(EventLogTest, RemovalShowsWhatWasAsDeleted) {
  EventLog log(7, 10, &clock_);
  const EventLog::Reader reader(&log);
  const auto segment = SegmentOf("a");
  log.Append(EventType::kCreated, segment);
  log.AppendRemoval(segment);
  const auto event = reader.NextAfter(1);
  ASSERT_TRUE(event.ok() && event->has_value());
  EXPECT_EQ((*event)->type, EventType::kDeleted);
  EXPECT_EQ((*event)->revision, 2u);
  EXPECT_EQ((*event)->previous, segment);
  EXPECT_EQ((*event)->segment->state, SegmentState::kDeleted);
  EXPECT_EQ((*event)->segment->revision, 2u);
  EXPECT_EQ((*event)->segment->name.id, "a");
  // Who still holds the segment sees no change.
  EXPECT_EQ(segment->state, SegmentState::kActive);
  EXPECT_EQ(segment->revision, 1u);
}

TEST_F(EventLogTest, SlowReaderIsToldThatTheLogHasMovedOn) {
  EventLog log(7, 3, &clock_);
  const EventLog::Reader reader(&log);
  for (int i = 0; i < 5; ++i) log.Append(EventType::kCreated, SegmentOf("a"));
  // Revisions 3, 4 and 5 are kept.
  EXPECT_EQ(GetErrorReason(reader.NextAfter(1).status()),
            "RESUME_TOKEN_EXPIRED");
  EXPECT_EQ(reader.NextAfter(1).status().code(), absl::StatusCode::kOutOfRange);
  const auto event = reader.NextAfter(2);
  ASSERT_TRUE(event.ok() && event->has_value());
  EXPECT_EQ((*event)->revision, 3u);
}

TEST_F(EventLogTest, RevisionsStartWhereTheyAreTold) {
  EventLog log(7, 3, &clock_, 100);
  const EventLog::Reader reader(&log);
  EXPECT_EQ(log.LastRevision(), 100u);
  EXPECT_FALSE(reader.NextAfter(100).value().has_value());
  // No event is kept, not even one to compare with.
  EXPECT_EQ(GetErrorReason(reader.NextAfter(50).status()),
            "RESUME_TOKEN_EXPIRED");
  const auto segment = SegmentOf("a");
  log.Append(EventType::kCreated, segment);
  EXPECT_EQ(segment->revision, 101u);
  EXPECT_EQ(reader.NextAfter(100).value()->revision, 101u);
}

TEST_F(EventLogTest, KeepsNothingThatNobodyReads) {
  EventLog log(7, 10, &clock_);
  auto segment = SegmentOf("a");
  const std::weak_ptr<Segment> kept = segment;
  log.Append(EventType::kCreated, segment);
  EXPECT_EQ(segment->revision, 1u);
  segment.reset();
  EXPECT_TRUE(kept.expired());
  const EventLog::Reader reader(&log);
  EXPECT_EQ(GetErrorReason(reader.NextAfter(0).status()),
            "RESUME_TOKEN_EXPIRED");
  EXPECT_FALSE(reader.NextAfter(log.LastRevision()).value().has_value());
  log.Append(EventType::kCreated, SegmentOf("b"));
  EXPECT_EQ(reader.NextAfter(1).value()->segment->name.id, "b");
}

TEST_F(EventLogTest, KeepsForAWhileBeyondTheLastReader) {
  EventLog log(7, 100, &clock_);
  auto reader = std::make_unique<EventLog::Reader>(&log);
  auto second = std::make_unique<EventLog::Reader>(&log);
  log.Append(EventType::kCreated, SegmentOf("a"));
  second.reset();
  clock_.Advance(kSegmentEventsKept);
  log.Append(EventType::kCreated, SegmentOf("b"));
  reader.reset();
  clock_.Advance(kSegmentEventsKept - absl::Seconds(1));
  log.Append(EventType::kCreated, SegmentOf("c"));
  reader = std::make_unique<EventLog::Reader>(&log);
  EXPECT_EQ(reader->NextAfter(0).value()->segment->name.id, "a");
  EXPECT_EQ(reader->NextAfter(2).value()->segment->name.id, "c");
}

TEST_F(EventLogTest, ForgetsAFewAtATimeWhatNobodyReadsAnyMore) {
  EventLog log(7, 100, &clock_);
  std::vector<std::weak_ptr<Segment>> kept;
  const auto count = [&kept] {
    return std::count_if(kept.begin(), kept.end(),
                         [](const auto& one) { return !one.expired(); });
  };
  {
    const EventLog::Reader reader(&log);
    for (int i = 0; i < 10; ++i) {
      auto segment = SegmentOf("a");
      kept.push_back(segment);
      log.Append(EventType::kCreated, std::move(segment));
    }
  }
  EXPECT_EQ(count(), 10);
  clock_.Advance(kSegmentEventsKept);
  log.Append(EventType::kCreated, SegmentOf("b"));
  EXPECT_EQ(count(), 6);
  // What is left has a gap behind it, so no reader gets it.
  const EventLog::Reader reader(&log);
  EXPECT_EQ(count(), 0);
  for (const uint64_t revision : {0, 4, 9, 10}) {
    EXPECT_EQ(GetErrorReason(reader.NextAfter(revision).status()),
              "RESUME_TOKEN_EXPIRED")
        << revision;
  }
  log.Append(EventType::kCreated, SegmentOf("c"));
  EXPECT_EQ(reader.NextAfter(11).value()->segment->name.id, "c");
}

TEST_F(EventLogTest, TokenLeadsBackToItsPlace) {
  EventLog log(0xfedcba9876543210, 10, &clock_);
  for (int i = 0; i < 17; ++i) log.Append(EventType::kCreated, SegmentOf("a"));
  EXPECT_EQ(log.ParseToken(log.Token(0)).value(), 0u);
  EXPECT_EQ(log.ParseToken(log.Token(17)).value(), 17u);
}

TEST_F(EventLogTest, TokenOfNoWatchIsInvalid) {
  EventLog log(0xab, 10, &clock_);
  log.Append(EventType::kCreated, SegmentOf("a"));
  ASSERT_TRUE(log.ParseToken("ab-1").ok());
  for (const char* token :
       {"", "-", "ab", "ab-", "-1", "ab-1-", "ab-1-1", "AB-1", "ab-01", "0ab-1",
        "0xab-1", "ab-0x1", "ab- 1", " ab-1", "ab--1", "ab-g",
        "ab-10000000000000000", "ab-1\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1"}) {
    const auto revision = log.ParseToken(token);
    EXPECT_EQ(GetErrorReason(revision.status()), "RESUME_TOKEN_INVALID")
        << token;
    EXPECT_EQ(GetErrorDetail(revision.status()).field, "resume_token");
  }
}

TEST_F(EventLogTest, TokenOfAnotherRunOrTheFutureIsExpired) {
  EventLog log(0xab, 10, &clock_);
  log.Append(EventType::kCreated, SegmentOf("a"));
  for (const char* token : {"ac-1", "ab-2", "ab-ffffffffffffffff"}) {
    EXPECT_EQ(GetErrorReason(log.ParseToken(token).status()),
              "RESUME_TOKEN_EXPIRED")
        << token;
  }
}

TEST_F(EventLogTest, WatcherIsWokenByTheNextEvent) {
  EventLog log(1, 10, &clock_);
  log.Append(EventType::kCreated, SegmentOf("unwatched"));
  log.signal().SetWatched(true);
  std::thread writer(
      [&log] { log.Append(EventType::kCreated, SegmentOf("a")); });
  EXPECT_TRUE(log.signal().Await());
  EXPECT_EQ(log.LastRevision(), 2u);
  writer.join();
  std::thread stopper([&log] { log.signal().Stop(); });
  EXPECT_FALSE(log.signal().Await());
  stopper.join();
}

TEST_F(EventLogTest, EpochsDiffer) { EXPECT_NE(RandomEpoch(), RandomEpoch()); }

}  // namespace
}  // namespace shmd
