#include "cli/channels.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shmd::cli {
namespace {

using ::testing::ContainsRegex;

// Both numbers are the publisher's own, and read one after the other.
TEST(StatsTextTest, APublisherThatHasCountedWrongHoldsNothing) {
  ChannelStats stats;
  ChannelStats::PublisherStats publisher;
  publisher.name = "namespaces/default/channels/it/publishers/0.1";
  publisher.published = 41;
  publisher.oldest = 1;
  stats.publishers.push_back(publisher);
  EXPECT_THAT(StatsText(stats), ContainsRegex("41 +40\n"));
  stats.publishers[0].oldest = 44;
  EXPECT_THAT(StatsText(stats), ContainsRegex("41 +0\n"));
}

}  // namespace
}  // namespace shmd::cli
