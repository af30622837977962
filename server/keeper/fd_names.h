#ifndef SHMD_SERVER_KEEPER_FD_NAMES_H_
#define SHMD_SERVER_KEEPER_FD_NAMES_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace shmd {

// The names of stored descriptors: the lowest free numbers, in base 62, and
// never more than fit into $LISTEN_FDNAMES together. Not thread-safe.
class FdNames {
 public:
  explicit FdNames(uint64_t max_names) : max_names_(max_names) {}

  // Counts `names`, which are in use already; those not made here too.
  void Reserve(const std::vector<absl::string_view>& names);

  // `count` names that are in use from now on. RESOURCE_EXHAUSTED
  // (DESCRIPTORS_EXHAUSTED) with no effect when there are not so many.
  absl::StatusOr<std::vector<std::string>> Take(size_t count);

  // `name` is free again.
  void GiveBack(absl::string_view name);

  uint64_t max_names() const { return max_names_; }
  uint64_t in_use() const { return in_use_; }

 private:
  uint64_t max_names_;
  uint64_t in_use_ = 0;
  size_t bytes_ = 0;  // of the list, a separator with each
  uint64_t next_ = 0;
  std::set<uint64_t> free_;  // below next_
};

}  // namespace shmd

#endif  // SHMD_SERVER_KEEPER_FD_NAMES_H_
