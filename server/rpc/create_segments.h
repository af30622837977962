#ifndef SHMD_SERVER_RPC_CREATE_SEGMENTS_H_
#define SHMD_SERVER_RPC_CREATE_SEGMENTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/access/caller.h"
#include "server/registry/segment_registry.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// CreateSegment and BatchCreateSegments, for both sockets: decode, call the
// registry, encode.

absl::Status CreateSegment(SegmentRegistry& registry, const Caller& caller,
                           const v1::CreateSegmentRequest& request,
                           v1::Segment* reply);
absl::Status BatchCreateSegments(SegmentRegistry& registry,
                                 const Caller& caller,
                                 const v1::BatchCreateSegmentsRequest& request,
                                 v1::BatchCreateSegmentsResponse* reply);

// Whether the request has to wait for more than a few system calls.
bool CreateSegmentMayWait(const SegmentRegistry& registry,
                          const v1::CreateSegmentRequest& request);
bool BatchCreateSegmentsMayWait(const SegmentRegistry& registry,
                                const v1::BatchCreateSegmentsRequest& request);

// REQUEST_INVALID for segments that the attach socket's few threads are not
// for, lest they keep others waiting: mapped files, which wait for the storage,
// and more than kMostShortBytes of pages to be reserved.
inline constexpr uint64_t kMostShortBytes = 1 << 20;
absl::Status CheckShort(const v1::Segment& segment, int count);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_CREATE_SEGMENTS_H_
