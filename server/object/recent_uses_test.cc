#include "server/object/recent_uses.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace shmd {
namespace {

std::vector<uint32_t> ReadAll(RecentReader& reader,
                              const layout::SessionHeader& header) {
  std::vector<uint32_t> all;
  reader.Read(header, [&](uint32_t position) { all.push_back(position); });
  return all;
}

void Use(layout::SessionHeader& header, uint32_t position) {
  header.recent[header.recent_count++ % layout::kRecentUses] = position;
}

TEST(UseOrderTest, LaterUsesAreLarger) {
  UseOrder uses;
  EXPECT_EQ(uses.LastUse(7), 0u);
  uses.Touch(7);
  uses.Touch(3);
  EXPECT_LT(uses.LastUse(7), uses.LastUse(3));
  uses.Touch(7);
  EXPECT_LT(uses.LastUse(3), uses.LastUse(7));
  uses.Move(3, 900);
  EXPECT_EQ(uses.LastUse(900), uses.LastUse(3));
  EXPECT_EQ(uses.LastUse(901), 0u);
}

TEST(RecentReaderTest, ReadsWhatIsNewInItsOrder) {
  const auto header = std::make_unique<layout::SessionHeader>();
  RecentReader reader;
  EXPECT_TRUE(ReadAll(reader, *header).empty());
  Use(*header, 5);
  Use(*header, 4);
  EXPECT_EQ(ReadAll(reader, *header), (std::vector<uint32_t>{5, 4}));
  EXPECT_TRUE(ReadAll(reader, *header).empty());
  Use(*header, 3);
  EXPECT_EQ(ReadAll(reader, *header), std::vector<uint32_t>{3});
}

TEST(RecentReaderTest, ReadsTheLastOfMoreThanThereIsRoomFor) {
  const auto header = std::make_unique<layout::SessionHeader>();
  RecentReader reader;
  for (uint32_t i = 1; i <= 300; ++i) Use(*header, i);
  const std::vector<uint32_t> all = ReadAll(reader, *header);
  ASSERT_EQ(all.size(), layout::kRecentUses);
  EXPECT_EQ(all.front(), 300 - layout::kRecentUses + 1);
  EXPECT_EQ(all.back(), 300u);
}

TEST(RecentReaderTest, AnyCountIsRead) {
  const auto header = std::make_unique<layout::SessionHeader>();
  RecentReader reader;
  for (const uint64_t count :
       {~uint64_t{0}, uint64_t{0}, uint64_t{5}, ~uint64_t{0} - 3,
        uint64_t{1} << 63, uint64_t{2}}) {
    header->recent_count = count;
    EXPECT_LE(ReadAll(reader, *header).size(), layout::kRecentUses);
    EXPECT_TRUE(ReadAll(reader, *header).empty());
  }
}

}  // namespace
}  // namespace shmd
