#ifndef SHMD_SERVER_RPC_SHARED_CALLS_H_
#define SHMD_SERVER_RPC_SHARED_CALLS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/access/caller.h"
#include "server/registry/segment_registry.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// The calls that both sockets have: decode, call the registry, encode.

// What of them is let through. On the attach socket the next requests of the
// connection wait for each, so only what is short, unless a request says
// otherwise: no mapped files, which wait for the storage, and at most
// kMostShortBytes of pages to be reserved or given back; REQUEST_INVALID for
// others.
enum class LetThrough { kAll, kShort };
inline constexpr uint64_t kMostShortBytes = 1 << 20;

absl::Status CreateSegment(SegmentRegistry& registry, const Caller& caller,
                           const v1::CreateSegmentRequest& request,
                           LetThrough let_through, v1::Segment* reply);
absl::Status BatchCreateSegments(SegmentRegistry& registry,
                                 const Caller& caller,
                                 const v1::BatchCreateSegmentsRequest& request,
                                 LetThrough let_through,
                                 v1::BatchCreateSegmentsResponse* reply);

absl::Status DeleteSegment(SegmentRegistry& registry, const Caller& caller,
                           const v1::DeleteSegmentRequest& request,
                           LetThrough let_through);
// Does that when it takes a few system calls that never wait; false when
// nothing was done.
bool DeleteSegmentAtOnce(SegmentRegistry& registry, const Caller& caller,
                         const v1::DeleteSegmentRequest& request);

// Whether the request has to wait for more than a few system calls.
bool CreateSegmentMayWait(const SegmentRegistry& registry,
                          const v1::CreateSegmentRequest& request);
bool BatchCreateSegmentsMayWait(const SegmentRegistry& registry,
                                const v1::BatchCreateSegmentsRequest& request);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SHARED_CALLS_H_
