#ifndef SHMD_SERVER_STORE_RECORD_H_
#define SHMD_SERVER_STORE_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"

namespace shmd {

// What a record is about. The numbers are those in the files: never change
// one, nor use one anew.
enum class RecordKind : uint8_t {
  kSegment = 1,
  kGrant = 2,
  kNamespace = 3,
  kSession = 4,
  kRequest = 5,
  kIntent = 6,
  kLocker = 16,
};

// A record as it is kept: what key and value mean is the kind's own.
struct Record {
  std::string key;
  std::string value;
};

// One record written or replaced; or, without a value, removed.
struct Change {
  RecordKind kind = RecordKind::kSegment;
  std::string key;
  std::optional<std::string> value;
};

// What a commit outlives once it has returned.
enum class Durability : uint8_t { kDaemonDeath, kPowerLoss };

// The last change of each record among several.
using LastChanges = absl::btree_map<std::pair<RecordKind, std::string>,
                                    std::optional<std::string>>;

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_RECORD_H_
