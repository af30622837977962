// Writes tests/conformance/golden anew, for a new version of the layout:
//
//   bazel run //tests/conformance:write_golden --
//   "$PWD/tests/conformance/golden"

#include <fstream>
#include <iomanip>
#include <string>

#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "shm/directory/directory_reader.h"
#include "shm/directory/name_key.h"
#include "tests/conformance/golden_directory.h"

namespace shmd {
namespace {

// 64 bits are more than a JSON number is sure to have.
std::string Hex(uint64_t value) { return absl::StrFormat("0x%016x", value); }

nlohmann::json LookUps(const std::string& directory) {
  const DirectoryReader reader(directory.data(), directory.size());
  nlohmann::json look_ups = nlohmann::json::array();
  for (const std::string& id :
       {std::string("a"), std::string("frame/1"), std::string("frame/2"),
        std::string("exactly8"), std::string("twelve bytes"),
        std::string("a name of twenty-four by"),
        std::string("a name of twenty-five byt"), std::string("\xE2\x82\xAC"),
        std::string(64, 'z'), std::string("deleted"), std::string("b"),
        std::string("frame/"), std::string(63, 'z')}) {
    FoundObject found;
    const bool is_there =
        reader.Find(*NameKey::Of(id), &found) == Lookup::kFound;
    nlohmann::json look_up = {{"id", id}, {"found", is_there}};
    if (is_there) {
      look_up["position"] = found.position;
      look_up["control"] = Hex(found.control);
      look_up["arena"] = found.arena;
      look_up["metadata_bytes"] = found.metadata_bytes;
      look_up["generation"] = found.generation;
      look_up["offset_bytes"] = found.offset_bytes;
      look_up["size_bytes"] = found.size_bytes;
      look_up["pin"] = Hex(PinOf(found.position, found.control));
    }
    look_ups.push_back(look_up);
  }
  return look_ups;
}

nlohmann::json Hashes() {
  nlohmann::json hashes = nlohmann::json::array();
  for (const uint64_t seed : {uint64_t{0}, uint64_t{0xFEDCBA9876543210}}) {
    for (const std::string& id :
         {std::string("a"), std::string("ab"), std::string("exactly8"),
          std::string("nine byte"), std::string("\xE2\x82\xAC"),
          std::string("service/segment-17"), std::string(64, 'z')}) {
      hashes.push_back({{"seed", Hex(seed)},
                        {"id", id},
                        {"hash", Hex(HashName(seed, *NameKey::Of(id)))}});
    }
  }
  return hashes;
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace
}  // namespace shmd

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  const std::string directory = shmd::GoldenDirectory();
  shmd::Write(folder + "/directory.bin", directory);
  shmd::Write(folder + "/directory.json",
              shmd::LookUps(directory).dump(1) + "\n");
  shmd::Write(folder + "/name_hashes.json", shmd::Hashes().dump(1) + "\n");
  return 0;
}
