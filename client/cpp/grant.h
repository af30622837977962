#ifndef SHMD_CLIENT_CPP_GRANT_H_
#define SHMD_CLIENT_CPP_GRANT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

// Secrets that let programs attach a segment, or take part in a channel, as
// plain values; protos/shmd/v1/grant.proto says what each field means.

// What the grant of a channel lets take part as.
enum class GrantRole : uint8_t {
  kPublisher,
  kSubscriber,  // in a queue: a Consumer
  kClient,      // a Requester
  kServer,      // a Responder
};

// What to grant.
struct GrantSpec {
  Access access = Access::kRead;  // of a segment
  std::vector<GrantRole> roles;   // of a channel: at least one
  std::optional<absl::Time> expire_time;
  std::optional<absl::Duration> ttl;  // in place of expire_time
  uint64_t max_uses = 0;              // 0: any number
  std::optional<uint32_t> uid;        // absent: anybody
};

struct Grant {
  std::string name;  // namespaces/default/segments/hello/grants/0123...
  Access access = Access::kRead;  // of a segment's
  std::vector<GrantRole> roles;   // of a channel's
  std::optional<absl::Time> expire_time;
  uint64_t max_uses = 0;
  std::optional<uint32_t> uid;
  uint64_t uses = 0;
  absl::Time create_time;
};

// A grant, and the handle that holds its secret, which is shown this once.
struct NewGrant {
  Grant grant;
  std::string handle;
};

// "PUBLISHER", and so on.
const char* GrantRoleName(GrantRole role);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_GRANT_H_
