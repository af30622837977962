// The layouts in memory are what tests/conformance/golden has, which the
// clients in other languages read as well.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_words.h"
#include "shm/directory/name_key.h"
#include "tests/conformance/golden_directory.h"

namespace shmd {
namespace {

std::string ReadGolden(const std::string& name) {
  std::ifstream file("tests/conformance/golden/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

uint64_t FromHex(const nlohmann::json& text) {
  return std::strtoull(text.get<std::string>().c_str(), nullptr, 16);
}

NameKey Key(const nlohmann::json& id) {
  return *NameKey::Of(id.get<std::string>());
}

TEST(GoldenTest, NamesHaveTheseHashes) {
  const auto vectors = nlohmann::json::parse(ReadGolden("name_hashes.json"));
  EXPECT_EQ(vectors.size(), 14u);
  for (const auto& vector : vectors) {
    EXPECT_EQ(HashName(FromHex(vector["seed"]), Key(vector["id"])),
              FromHex(vector["hash"]))
        << vector;
  }
}

TEST(GoldenTest, TheDirectoryIsThese16KiB) {
  EXPECT_TRUE(ReadGolden("directory.bin") == GoldenDirectory());
}

TEST(GoldenTest, TheDirectoryHoldsTheseObjects) {
  const std::string bytes = ReadGolden("directory.bin");
  // Aligned like a mapping.
  std::vector<uint64_t> words(bytes.size() / 8);
  bytes.copy(reinterpret_cast<char*>(words.data()), bytes.size());
  const auto reader = DirectoryReader::Open(words.data(), bytes.size());
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto look_ups = nlohmann::json::parse(ReadGolden("directory.json"));
  uint64_t objects = 0;
  for (const auto& look_up : look_ups) {
    FoundObject found;
    const bool is_there =
        reader->Find(Key(look_up["id"]), &found) == Lookup::kFound;
    ASSERT_EQ(is_there, look_up["found"].get<bool>()) << look_up;
    if (!is_there) continue;
    ++objects;
    EXPECT_EQ(found.position, look_up["position"]);
    EXPECT_EQ(found.control, FromHex(look_up["control"]));
    EXPECT_EQ(found.arena, look_up["arena"]);
    EXPECT_EQ(found.metadata_bytes, look_up["metadata_bytes"]);
    EXPECT_EQ(found.generation, look_up["generation"]);
    EXPECT_EQ(found.offset_bytes, look_up["offset_bytes"]);
    EXPECT_EQ(found.size_bytes, look_up["size_bytes"]);
    EXPECT_EQ(PinOf(found.position, found.control), FromHex(look_up["pin"]));
  }
  EXPECT_EQ(objects, reader->live_entries());
}

}  // namespace
}  // namespace shmd
