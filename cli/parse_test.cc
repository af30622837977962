#include "cli/parse.h"

#include "gtest/gtest.h"

namespace shmd::cli {
namespace {

TEST(ParseTest, SizesHaveBinaryAndDecimalSuffixes) {
  EXPECT_EQ(*ParseSize("0"), 0u);
  EXPECT_EQ(*ParseSize("4096"), 4096u);
  EXPECT_EQ(*ParseSize("4k"), 4096u);
  EXPECT_EQ(*ParseSize("4K"), 4096u);
  EXPECT_EQ(*ParseSize("64MiB"), uint64_t{64} << 20);
  EXPECT_EQ(*ParseSize("1G"), uint64_t{1} << 30);
  EXPECT_EQ(*ParseSize("1GB"), 1000000000u);
  EXPECT_EQ(*ParseSize("2t"), uint64_t{2} << 40);
  EXPECT_EQ(*ParseSize("18446744073709551615"), UINT64_MAX);
}

TEST(ParseTest, SizesThatAreNoneAreRefused) {
  for (const char* text :
       {"", "k", "-1", "+1", " 1", "1 k", "1.5G", "0x10", "4kk", "1e3",
        "18446744073709551616", "18014398509481984k", "16777216T"}) {
    EXPECT_FALSE(ParseSize(text).ok()) << text;
  }
}

TEST(ParseTest, ModesAreOctal) {
  EXPECT_EQ(*ParseMode("640"), 0640u);
  EXPECT_EQ(*ParseMode("0640"), 0640u);
  for (const char* text : {"", "8", "u+r", "-1", "77777"}) {
    EXPECT_FALSE(ParseMode(text).ok()) << text;
  }
}

TEST(ParseTest, KeysAreHexadecimalAndSaySo) {
  EXPECT_EQ(*ParseSysvKey("0x44"), 0x44u);
  EXPECT_EQ(*ParseSysvKey("0XFFFFFFFF"), UINT32_MAX);
  for (const char* text : {"44", "68", "0x", "0x1ffffffff", "0xg"}) {
    EXPECT_FALSE(ParseSysvKey(text).ok()) << text;
  }
}

TEST(ParseTest, DurationsArePositive) {
  EXPECT_EQ(*ParseTtl("90"), absl::Seconds(90));
  EXPECT_EQ(*ParseTtl("2h30m"), absl::Minutes(150));
  EXPECT_EQ(*ParseTtl("250ms"), absl::Milliseconds(250));
  for (const char* text : {"", "0", "-5s", "soon"}) {
    EXPECT_FALSE(ParseTtl(text).ok()) << text;
  }
}

TEST(ParseTest, LabelsSplitAtTheFirstEqualsSign) {
  EXPECT_EQ(ParseLabel("a=b=c")->second, "b=c");
  EXPECT_EQ(ParseLabel("a=")->second, "");
  EXPECT_FALSE(ParseLabel("a").ok());
  EXPECT_FALSE(ParseLabel("=b").ok());
}

TEST(ParseTest, BackendsHaveTheirNamesInAnyCase) {
  EXPECT_EQ(*ParseBackend("POSIX"), BackendKind::kPosix);
  EXPECT_EQ(*ParseBackend("mapped_file"), BackendKind::kMappedFile);
  EXPECT_EQ(*ParseBackend("file"), BackendKind::kMappedFile);
  EXPECT_FALSE(ParseBackend("mmap").ok());
}

TEST(ParseTest, MemoryPoliciesNameTheirNodes) {
  const auto policy = ParseNuma("interleave:0,3");
  ASSERT_TRUE(policy.ok());
  EXPECT_EQ(policy->mode, NumaMode::kInterleave);
  EXPECT_EQ(policy->nodes, (std::vector<uint32_t>{0, 3}));
  for (const char* text : {"", "bind", "bind:", "bind:0,", "local:0"}) {
    EXPECT_FALSE(ParseNuma(text).ok()) << text;
  }
}

}  // namespace
}  // namespace shmd::cli
