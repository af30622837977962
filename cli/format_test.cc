#include "cli/format.h"

#include "cli/progress.h"
#include "gtest/gtest.h"

namespace shmd::cli {
namespace {

TEST(FormatTest, SizesHaveAtMostOneDecimal) {
  EXPECT_EQ(HumanSize(0), "0 B");
  EXPECT_EQ(HumanSize(1023), "1023 B");
  EXPECT_EQ(HumanSize(4096), "4 KiB");
  EXPECT_EQ(HumanSize(1536), "1.5 KiB");
  EXPECT_EQ(HumanSize(uint64_t{1} << 30), "1 GiB");
  EXPECT_EQ(HumanSize(UINT64_MAX), "16 EiB");
}

TEST(FormatTest, TablesAlignTheirColumns) {
  EXPECT_EQ(FormatTable({"ID", "SIZE"}, {{"a", "4 KiB"}, {"long", "1 B"}}, {1}),
            "ID     SIZE\n"
            "a     4 KiB\n"
            "long    1 B\n");
}

TEST(FormatTest, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\n\x7f"), "a?[2Jb??");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "2J"),
            "??2J");
  EXPECT_EQ(Printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

TEST(FormatTest, JsonOfASegmentParsesAndKeepsItsKeys) {
  Segment segment;
  segment.name = "namespaces/default/segments/hello";
  segment.size_bytes = uint64_t{1} << 40;
  segment.sysv_key = 0x44;
  segment.mode = 0640;
  segment.generation = UINT64_MAX;
  segment.labels["note"] = "not \xff UTF-8";
  const auto json = nlohmann::json::parse(ToText(SegmentToJson(segment)));
  EXPECT_EQ(json["name"], "namespaces/default/segments/hello");
  EXPECT_EQ(json["size_bytes"], uint64_t{1} << 40);
  EXPECT_EQ(json["sysv_key"], "0x44");
  EXPECT_EQ(json["mode"], "0640");
  EXPECT_EQ(json["generation"], "18446744073709551615");
  EXPECT_FALSE(json.contains("expire_time"));
}

TEST(FormatTest, JsonOfASegmentHasItsOptionsByTheNamesOfTheApi) {
  Segment segment;
  const auto plain = SegmentToJson(segment);
  EXPECT_FALSE(plain.contains("numa_policy"));
  EXPECT_EQ(plain["huge_page_advice"], "HUGE_PAGE_ADVICE_UNSPECIFIED");
  EXPECT_EQ(plain["seal_policy"], "SEALABLE");
  segment.numa = {NumaMode::kInterleave, {0, 2}};
  segment.huge_page_advice = HugePageAdvice::kWanted;
  segment.seal_policy = SealPolicy::kNeverSealed;
  const auto json = SegmentToJson(segment);
  EXPECT_EQ(json["numa_policy"].dump(),
            "{\"mode\":\"INTERLEAVE\",\"nodes\":[0,2]}");
  EXPECT_EQ(json["huge_page_advice"], "HUGE_PAGES_WANTED");
  EXPECT_EQ(json["seal_policy"], "NEVER_SEALED");
  segment.backend = BackendKind::kSysv;
  EXPECT_FALSE(SegmentToJson(segment).contains("seal_policy"));
}

TEST(ProgressBarTest, ShowsPartAndRate) {
  EXPECT_EQ(ProgressBar::Render(500000000, 1000000000, absl::Seconds(1)),
            "[###############---------------]  50 %  953.7 MiB  0.50 GB/s");
  EXPECT_EQ(ProgressBar::Render(0, 0, absl::ZeroDuration()).substr(0, 32),
            "[##############################]");
}

}  // namespace
}  // namespace shmd::cli
