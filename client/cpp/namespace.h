#ifndef SHMD_CLIENT_CPP_NAMESPACE_H_
#define SHMD_CLIENT_CPP_NAMESPACE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace shmd {
inline namespace client {

// Trust domains as plain values; protos/shmd/v1/namespace.proto says what each
// field means.

// Amounts that are used; or limits, of which an absent one is none.
struct Quota {
  std::optional<uint64_t> bytes;
  std::optional<uint64_t> segments;
  std::optional<uint64_t> sessions;
  std::optional<uint64_t> watches;
  std::optional<uint64_t> descriptors;
  std::optional<uint64_t> huge_page_bytes;
  std::optional<uint64_t> spilled_bytes;
};

// Everybody when all are empty.
struct Entrants {
  std::vector<uint32_t> uids;
  std::vector<uint32_t> gids;
  std::vector<std::string> certificate_names;
};

struct UidUsage {
  uint32_t uid = 0;
  Quota usage;
};

// What happens when there is no memory for an object.
enum class WhenFull : uint8_t { kRefuse, kEvict, kSpill };

struct Namespace {
  std::string name;  // namespaces/default
  Entrants entrants;
  Quota quota;
  Quota uid_quota;
  WhenFull when_full = WhenFull::kRefuse;
  Quota usage;
  std::vector<UidUsage> uid_usages;  // of one namespace, not in lists
  std::optional<absl::Time> create_time;
  std::string etag;

  // The last part of `name`.
  std::string id() const { return name.substr(name.rfind('/') + 1); }
};

// What to make, or to change: what is absent stays, or is the daemon's choice.
struct NamespaceSpec {
  std::optional<Entrants> entrants;
  std::optional<Quota> quota;
  std::optional<Quota> uid_quota;
  std::optional<WhenFull> when_full;
  std::string etag;  // of a change: when set, must be the current one
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_NAMESPACE_H_
