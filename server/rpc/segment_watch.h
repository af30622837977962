#ifndef SHMD_SERVER_RPC_SEGMENT_WATCH_H_
#define SHMD_SERVER_RPC_SEGMENT_WATCH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {

// Begins a watch over segments: first pages of what exists, then the event log.
// One that cannot be is finished with its error. Holds one page of names at a
// time, however slow the watcher is; once the log has moved past its place it
// ends with RESUME_TOKEN_EXPIRED. Borrows hub and registry.
ReplySource* WatchSegments(WatchHub* hub, SegmentRegistry* registry,
                           absl::StatusOr<std::shared_ptr<const Caller>> caller,
                           const v1::WatchSegmentsRequest& request,
                           ReplyWriter<v1::WatchSegmentsResponse>* writer);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SEGMENT_WATCH_H_
