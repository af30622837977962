#ifndef SHMD_SERVER_REGISTRY_FILTER_H_
#define SHMD_SERVER_REGISTRY_FILTER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/registry/segment.h"

namespace shmd {

inline constexpr size_t kMaxFilterBytes = 4096;

// A list filter: comparisons joined by AND, a part of AIP-160. Immutable.
class SegmentFilter {
 public:
  // Matches everything.
  SegmentFilter() = default;

  // FILTER_INVALID (INVALID_ARGUMENT), telling what was not understood.
  static absl::StatusOr<SegmentFilter> Parse(absl::string_view text);

  bool Matches(const Segment& segment) const;

 private:
  enum class Field { kBackend, kState, kLabel };

  struct Comparison {
    Field field = Field::kLabel;
    std::string key;    // of the label
    std::string value;  // ignored by has
    bool has = false;   // labels:KEY
    bool negated = false;
  };

  static absl::StatusOr<Comparison> ParseComparison(
      const std::vector<std::string>& tokens, size_t* at);

  std::vector<Comparison> comparisons_;
};

// "ACTIVE", "CLOSED_TO_WRITERS", "SEALED", "DELETED".
const char* StateName(SegmentState state);

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_FILTER_H_
