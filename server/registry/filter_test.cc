#include "server/registry/filter.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Segment Sample() {
  Segment segment;
  segment.options.backend = BackendKind::kPosix;
  segment.state = SegmentState::kClosedToWriters;
  segment.labels = {{"team", "vision"}, {"empty", ""}, {"dotted.key-1", "a b"}};
  return segment;
}

TEST(SegmentFilterTest, MatchesByEveryField) {
  const struct {
    const char* text;
    bool matches;
  } kCases[] = {
      {"", true},
      {"   \n\t ", true},
      {"backend = POSIX", true},
      {"backend=POSIX", true},
      {"backend=\"POSIX\"", true},
      {"backend != POSIX", false},
      {"backend = MEMFD", false},
      {"backend != SYSV", true},
      {"state = CLOSED_TO_WRITERS", true},
      {"state = ACTIVE", false},
      {"state != SEALED", true},
      {"labels.team = vision", true},
      {"labels.team = \"vision\"", true},
      {"labels.team = visio", false},
      {"labels.team != vision", false},
      {"labels.team != other", true},
      {"labels.absent = x", false},
      {"labels.absent != x", true},
      {"labels.absent = \"\"", false},
      {"labels.empty = \"\"", true},
      {"labels.dotted.key-1 = \"a b\"", true},
      {"labels:team", true},
      {"labels:empty", true},
      {"labels:absent", false},
      {"labels : \"team\"", true},
      {"backend = POSIX AND labels:team", true},
      {"backend = POSIX AND labels:absent", false},
      {"labels:absent AND backend = POSIX", false},
      {"backend=POSIX AND state=CLOSED_TO_WRITERS AND labels.team=vision",
       true},
      // The word is a value here, not an operator.
      {"labels.team != AND AND labels:team", true},
  };
  for (const auto& one : kCases) {
    const auto filter = SegmentFilter::Parse(one.text);
    ASSERT_TRUE(filter.ok()) << one.text << ": " << filter.status();
    EXPECT_EQ(filter->Matches(Sample()), one.matches) << one.text;
  }
}

TEST(SegmentFilterTest, WhatItDoesNotKnowIsRefused) {
  for (const char* text : {"backend",
                           "backend =",
                           "= POSIX",
                           "backend POSIX",
                           "backend = posix",
                           "backend = UNKNOWN",
                           "backend : POSIX",
                           "backend = \"POSIX",
                           "backend == POSIX",
                           "backend > POSIX",
                           "backend ! = POSIX",
                           "state = DELETED",
                           "state = CREATING",
                           "state : ACTIVE",
                           "labels",
                           "labels.team",
                           "labels.team = ",
                           "labels. = x",
                           "labels = x",
                           "labels != x",
                           "labels.team : x",
                           "size_bytes = 1",
                           "name = a",
                           "\"backend\" = POSIX",
                           "backend = POSIX AND",
                           "AND backend = POSIX",
                           "backend = POSIX backend = POSIX",
                           "backend = POSIX and labels:a",
                           "backend = POSIX OR labels:a",
                           "NOT labels:a",
                           "-labels:a",
                           "(backend = POSIX)",
                           "labels:a AND AND labels:b",
                           "labels.a = \xc3\xa4",
                           "labels.a = 'x'",
                           "!",
                           "!=",
                           ":",
                           "\""}) {
    const auto filter = SegmentFilter::Parse(text);
    EXPECT_EQ(GetErrorReason(filter.status()), "FILTER_INVALID") << text;
    EXPECT_EQ(GetErrorDetail(filter.status()).field, "filter") << text;
  }
}

TEST(SegmentFilterTest, IsAtMost4096BytesLong) {
  const std::string head = "labels.a = \"";
  const std::string longest = absl::StrCat(
      head, std::string(kMaxFilterBytes - head.size() - 1, 'x'), "\"");
  ASSERT_EQ(longest.size(), kMaxFilterBytes);
  EXPECT_TRUE(SegmentFilter::Parse(longest).ok());
  EXPECT_FALSE(SegmentFilter::Parse(longest + " ").ok());
}

TEST(SegmentFilterTest, StateNames) {
  EXPECT_STREQ(StateName(SegmentState::kActive), "ACTIVE");
  EXPECT_STREQ(StateName(SegmentState::kSealed), "SEALED");
  EXPECT_STREQ(StateName(SegmentState::kClosedToWriters), "CLOSED_TO_WRITERS");
  EXPECT_STREQ(StateName(SegmentState::kDeleted), "DELETED");
}

}  // namespace
}  // namespace shmd
