#ifndef SHMD_SHM_CHANNEL_OPEN_PART_H_
#define SHMD_SHM_CHANNEL_OPEN_PART_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace shmd {

// How who takes part in a channel gets what others have made.
enum class PartKind : uint32_t {
  kRing = 1,    // a publisher's, to read
  kPage = 2,    // a subscriber's, to read
  kClaims = 3,  // those on a publisher's ring, to read and write
  // A subscriber's pipe: for the subscriber itself the end to read, for
  // publishers and other consumers that to write.
  kBell = 4,
};

struct PartRequest {
  PartKind kind = PartKind::kRing;
  uint32_t index = 0;  // of the publisher or subscriber
  uint64_t generation = 0;
};

// The client asks the daemon by the attach socket. NOT_FOUND when who made the
// part has left meanwhile; after any other error it is asked again later.
using OpenPart = std::function<absl::StatusOr<UniqueFd>(const PartRequest&)>;

// When who sleeps meanwhile asks for such a part again.
inline constexpr absl::Duration kPartRetryAfter = absl::Milliseconds(50);

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_OPEN_PART_H_
