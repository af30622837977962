#include "shm/directory/name_key.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace shmd {
namespace {

TEST(NameKeyTest, TakesOneTo64Bytes) {
  EXPECT_FALSE(NameKey::Of("").has_value());
  EXPECT_FALSE(NameKey::Of(std::string(65, 'a')).has_value());
  for (size_t length = 1; length <= 64; ++length) {
    std::string id;
    for (size_t i = 0; i < length; ++i) {
      id.push_back(static_cast<char>(0x80 + i));
    }
    const std::optional<NameKey> key = NameKey::Of(id);
    ASSERT_TRUE(key.has_value());
    EXPECT_EQ(key->id(), id);
    for (size_t i = 0; i < 64; ++i) {
      const uint64_t byte = key->words[i / 8] >> (8 * (i % 8)) & 0xFF;
      EXPECT_EQ(byte, i < length ? 0x80 + i : 0) << length << " " << i;
    }
  }
}

TEST(NameKeyTest, TellsAFinalZeroByteFromNone) {
  const NameKey plain = *NameKey::Of("a");
  const NameKey longer = *NameKey::Of(absl::string_view("a\0", 2));
  EXPECT_FALSE(plain == longer);
  EXPECT_NE(HashName(1, plain), HashName(1, longer));
}

TEST(NameKeyTest, HashSpreadsNamesThatDifferInOneCharacter) {
  // Also in the last of eight, whose bits are the highest of its word.
  for (const char* prefix : {"", "object-", "service/object-"}) {
    std::set<uint64_t> buckets;
    std::set<uint64_t> tags;
    for (int i = 0; i < 64; ++i) {
      const uint64_t hash =
          HashName(0, *NameKey::Of(prefix + std::string(1, '0' + i)));
      buckets.insert(hash % 64);
      tags.insert(hash >> 32);
    }
    EXPECT_GT(buckets.size(), 30u) << prefix;
    EXPECT_EQ(tags.size(), 64u) << prefix;
  }
}

}  // namespace
}  // namespace shmd
