#ifndef SHMD_CLI_ORPHANS_H_
#define SHMD_CLI_ORPHANS_H_

#include <cstdint>
#include <vector>

#include "client/cpp/orphan.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// How orphans look, for the verbs `doctor` and `gc`.

// With the keys of the proto, as SegmentToJson.
nlohmann::ordered_json OrphanToJson(const Orphan& orphan);

// One line, and one for each piece of evidence.
void PrintOrphan(const Orphan& orphan);

// The sum of the memory that they take.
uint64_t ResidentBytes(const std::vector<Orphan>& orphans);

}  // namespace shmd::cli

#endif  // SHMD_CLI_ORPHANS_H_
