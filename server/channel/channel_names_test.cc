#include "server/channel/channel_names.h"

#include "base/error_reason.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

TEST(ChannelNamesTest, NamesAreReadAsTheyAreWritten) {
  const ChannelName channel = {"team", "a.b-C_9"};
  EXPECT_EQ(channel.ToString(), "namespaces/team/channels/a.b-C_9");
  const auto parsed = ParseChannelName("name", channel.ToString());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->name_space, "team");
  EXPECT_EQ(parsed->id, channel.id);
  for (const MemberKind kind :
       {MemberKind::kPublisher, MemberKind::kSubscriber}) {
    const MemberName member = {channel, kind, 63, ~uint64_t{0}};
    const auto read = ParseMemberName("name", member.ToString(), kind);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->channel.id, channel.id);
    EXPECT_EQ(read->index, 63u);
    EXPECT_EQ(read->generation, ~uint64_t{0});
  }
}

TEST(ChannelNamesTest, OtherNamesAreRefused) {
  const std::string channel = "namespaces/n/channels/c";
  for (const std::string& wrong :
       {std::string(), std::string("namespaces/n/channels/"),
        std::string("namespaces/n/channels/.."), channel + "/x",
        std::string("namespaces/n/objects/c"),
        "namespaces/n/channels/" + std::string(65, 'c')}) {
    EXPECT_EQ(GetErrorReason(ParseChannelName("name", wrong).status()),
              reason::kNameInvalid)
        << wrong;
  }
  for (const char* wrong :
       {"", "/publishers/", "/publishers/0", "/publishers/0.", "/publishers/.1",
        "/publishers/64.1", "/publishers/0.0", "/publishers/00.1",
        "/publishers/0.01", "/publishers/-1.1", "/publishers/+1.1",
        "/publishers/ 1.1", "/publishers/1.1.1", "/subscribers/1.1",
        "/publishers/1.18446744073709551616", "/publishers/1.1/x"}) {
    EXPECT_EQ(GetErrorReason(ParseMemberName("name", channel + wrong,
                                             MemberKind::kPublisher)
                                 .status()),
              reason::kNameInvalid)
        << wrong;
  }
  for (const char* wrong : {"", "a/b", ".", "..", "a b", "\xc3\xa4"}) {
    EXPECT_EQ(GetErrorReason(CheckChannelId("id", wrong)),
              reason::kChannelIdInvalid)
        << wrong;
  }
}

TEST(ChannelNamesTest, SegmentsSayWhatTheyAre) {
  EXPECT_EQ(ChannelIdOf(ChannelSegmentId("c.1")), "c.1");
  EXPECT_EQ(ChannelIdOf("shmd.directory"), std::nullopt);
  EXPECT_EQ(ChannelIdOf("shmd.channel."), std::nullopt);
  for (const SegmentRole role :
       {SegmentRole::kRing, SegmentRole::kReaderPage, SegmentRole::kClaims}) {
    const std::string id = PartSegmentId(role, {7, 3, 11});
    const std::optional<PartPlace> place = PartPlaceOf(role, id);
    ASSERT_TRUE(place.has_value());
    EXPECT_EQ(place->channel, 7u);
    EXPECT_EQ(place->index, 3u);
    EXPECT_EQ(place->generation, 11u);
    for (const char* more : {"x", ".1", " "}) {
      EXPECT_FALSE(PartPlaceOf(role, id + more).has_value()) << more;
    }
    EXPECT_FALSE(PartPlaceOf(role, "shmd.channel.c").has_value());
  }
  EXPECT_FALSE(PartPlaceOf(SegmentRole::kRing,
                           PartSegmentId(SegmentRole::kClaims, {7, 3, 11}))
                   .has_value());
}

}  // namespace
}  // namespace shmd
