#ifndef SHMD_SERVER_REGISTRY_SEGMENT_H_
#define SHMD_SERVER_REGISTRY_SEGMENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/access/policy.h"
#include "server/registry/names.h"
#include "shm/types.h"

namespace shmd {

enum class SegmentState : uint8_t {
  kActive,
  kClosedToWriters,
  kSealed,
  kDeleted,  // in events only
};

// What ends a segment besides a delete and its expire_time.
enum class Lifetime : uint8_t { kUntilDeleted, kSession, kSessionUntilSealed };

// What a segment is for. All but the first kind are made and removed by the
// daemon alone, and serve objects and channels; the numbers are for good in its
// files.
enum class SegmentRole : uint8_t {
  kOrdinary = 0,
  kDirectory = 1,       // of a namespace; nobody else writes it
  kSessionPage = 2,     // owner_session writes it
  kAnswers = 3,         // to owner_session; nobody else writes it
  kArena = 4,           // owner_session writes it, and need not own it
  kChannel = 5,         // who takes part; nobody else writes it
  kRing = 6,            // of a publisher; owner_session writes it
  kReaderPage = 7,      // of a subscriber; owner_session writes it
  kClaims = 8,          // on a ring; owner_session writes it, and consumers do
  kSyncPage = 9,        // owner_session writes it
  kSyncPrimitive = 10,  // a lock or the like; all that its mode lets write it
};

using Labels = std::map<std::string, std::string>;

// The metadata of a segment at one moment. The registry never changes one but
// publishes another, so a shared_ptr<const Segment> is safe to read anywhere.
struct Segment {
  SegmentName name;
  Uid uid = {};
  uint64_t generation = 0;
  uint64_t revision = 0;  // of the event that published this
  SegmentOptions options;
  SegmentState state = SegmentState::kActive;
  Labels labels;
  absl::Time create_time;
  std::optional<absl::Time> expire_time;    // what people see
  std::optional<absl::Duration> expire_at;  // since boot: what counts
  std::optional<absl::Duration> lease_ttl;  // the ttl that was given last
  Lifetime lifetime = Lifetime::kUntilDeleted;
  Uid owner_session = {};  // all zero with kUntilDeleted, but for arenas
  SegmentRole role = SegmentRole::kOrdinary;
  bool adopted = false;

  Ownership ownership() const {
    return {options.owner, options.group, options.mode};
  }
};

using SegmentPtr = std::shared_ptr<const Segment>;

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_SEGMENT_H_
