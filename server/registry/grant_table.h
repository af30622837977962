#ifndef SHMD_SERVER_REGISTRY_GRANT_TABLE_H_
#define SHMD_SERVER_REGISTRY_GRANT_TABLE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/access/caller.h"
#include "shm/handle.h"
#include "shm/types.h"

namespace shmd {

inline constexpr size_t kMaxGrantsOfSegment = 1000;

// A hash of a grant's secret. The secret itself is nowhere but in the handle:
// who reads the daemon's memory or its store learns no way in.
using GrantKey = std::array<uint8_t, 32>;
GrantKey KeyOf(const GrantSecret& secret);

// What the grant of a channel lets sessions take part as; one bit each, which
// stand in records.
enum class GrantRole : uint32_t {
  kPublisher = 1,
  kSubscriber = 2,  // of a queue: a consumer
  kClient = 4,
  kServer = 8,
};
inline constexpr uint32_t kAllGrantRoles = 15;

// One secret that lets programs attach a segment, or take part in a channel
// (grant.proto). A plain value.
struct Grant {
  GrantKey key = {};
  std::string id;    // 16 hexadecimal digits: the last part of its name
  Uid segment = {};  // of a channel: its page
  Access access = Access::kRead;
  uint32_t roles = 0;  // GrantRoles of a channel's; 0: it is a segment's
  std::optional<absl::Time> expire_time;
  uint64_t max_uses = 0;  // 0: any number
  uint64_t uses = 0;
  std::optional<uid_t> uid;  // the only user
  absl::Time create_time;
};

// What somebody wants by a grant.
struct GrantWish {
  Access access = Access::kRead;
  std::optional<GrantRole> role;  // absent: to attach a segment
  // False: it belongs to an earlier use, so a grant that is used up will do.
  bool is_counted = true;
};

// All grants. Not thread-safe: GrantRegistry is.
class GrantTable {
 public:
  // GRANT_LIMIT_EXCEEDED (RESOURCE_EXHAUSTED) beyond kMaxGrantsOfSegment.
  absl::Status Add(Grant grant);

  // Those of a segment, by id.
  std::vector<Grant> Of(const Uid& segment) const;

  // nullptr when there is none.
  const Grant* Find(const Uid& segment, absl::string_view id) const;

  // Uses a grant once: GRANT_INVALID (PERMISSION_DENIED) unless it is there
  // and lets the caller do this with the segment now. Returns it as it is
  // then.
  absl::StatusOr<Grant> Redeem(const GrantSecret& secret, const Uid& segment,
                               const Caller& caller, const GrantWish& wish,
                               absl::Time now);

  // Takes a use back, when nothing came of it.
  void Unredeem(const Grant& grant);

  void Remove(const Uid& segment, absl::string_view id);

  // Those of a removed segment; returns what there was.
  std::vector<Grant> RemoveOf(const Uid& segment);

 private:
  absl::flat_hash_map<GrantKey, Grant> grants_;
  absl::flat_hash_map<Uid, absl::btree_map<std::string, GrantKey>> of_segment_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_GRANT_TABLE_H_
