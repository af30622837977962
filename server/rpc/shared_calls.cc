#include "server/rpc/shared_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/fill_segment.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/segment_to_proto.h"
#include "shm/limits.h"

namespace shmd {
namespace {

// Batches of fewer take some 0.1 ms, of which to give them a thread would be a
// third: others can wait for that. Members alike take less each.
constexpr int kLongBatch = 32;
constexpr int kLongBatchAlike = 65;

// A memfd without pages takes a few system calls that never sleep.
bool IsLazyMemfd(const v1::Segment& segment) {
  const bool is_memfd = segment.backend() == v1::Segment::MEMFD ||
                        segment.backend() == v1::Segment::BACKEND_UNSPECIFIED;
  const bool is_lazy =
      segment.allocation() == v1::Segment::ALLOCATION_UNSPECIFIED ||
      segment.allocation() == v1::Segment::LAZY;
  return is_memfd && is_lazy && !segment.populate() &&
         !segment.lock_in_memory() &&
         segment.page_size_bytes() <= BasePageSizeBytes();
}

absl::Status CheckLetThrough(LetThrough let_through, const CreateOrder& order) {
  if (let_through == LetThrough::kAll) return absl::OkStatus();
  const uint64_t alike = order.is_alike() ? order.size() : 1;
  for (const CreateCommand& command : order.commands()) {
    const SegmentOptions& options = command.options;
    if (options.backend == BackendKind::kMappedFile) {
      return InvalidField("segment.backend", reason::kRequestInvalid,
                          "waits for the storage, so the request must say "
                          "that it may take long");
    }
    if (options.allocation == Allocation::kReserved &&
        options.size_bytes > kMostShortBytes / alike) {
      return InvalidField("segment.size_bytes", reason::kRequestInvalid,
                          "is more than 1 MiB of pages to be reserved, so the "
                          "request must say that it may take long");
    }
  }
  return absl::OkStatus();
}

// What is said once for many is said of each in the reply, with its name, its
// handle and what the daemon adds: less than 1 KiB.
absl::Status CheckReply(const v1::BatchCreateSegmentsRequest& request,
                        v1::SegmentView extent) {
  if (IsBrief(extent) || request.count() == 0) return absl::OkStatus();
  const size_t each = request.requests(0).ByteSizeLong() + 1024;
  if (each * static_cast<size_t>(request.count()) <= kMostReplyBytes) {
    return absl::OkStatus();
  }
  return ReplyTooLarge("view");
}

absl::StatusOr<RemoveCommand> RemovalFromProto(
    const v1::DeleteSegmentRequest& request) {
  ASSIGN_OR_RETURN(RemoveCommand command,
                   RemoveOne(request.name(), request.etag()));
  command.force = request.force();
  command.revoke_memory = request.revoke_memory();
  return command;
}

}  // namespace

absl::Status CreateSegment(SegmentRegistry& registry, const Caller& caller,
                           const v1::CreateSegmentRequest& request,
                           LetThrough let_through, v1::Segment* reply) {
  ASSIGN_OR_RETURN(CreateCommand command, CreateFromProto(request, "", caller));
  const CreateOrder order(std::move(command), 1);
  RETURN_IF_ERROR(CheckLetThrough(let_through, order));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::BASIC));
  ASSIGN_OR_RETURN(const std::vector<SegmentView> made,
                   registry.Create(caller, order));
  // Under its request id it may have been made long ago.
  if (extent == v1::BASIC && made[0].is_new) {
    FillWithStatus(registry, caller, made[0], registry.FreshStatus(made[0]),
                   reply);
  } else {
    FillSegment(registry, caller, made[0], extent, reply);
  }
  return absl::OkStatus();
}

absl::Status BatchCreateSegments(SegmentRegistry& registry,
                                 const Caller& caller,
                                 const v1::BatchCreateSegmentsRequest& request,
                                 LetThrough let_through,
                                 v1::BatchCreateSegmentsResponse* reply) {
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::BASIC));
  ASSIGN_OR_RETURN(const CreateOrder order, BatchFromProto(request, caller));
  RETURN_IF_ERROR(CheckReply(request, extent));
  RETURN_IF_ERROR(CheckLetThrough(let_through, order));
  ASSIGN_OR_RETURN(const std::vector<SegmentView> made,
                   registry.Create(caller, order));
  if (extent == v1::HANDLE) {
    reply->mutable_handle_strings()->Reserve(static_cast<int>(made.size()));
    for (const SegmentView& view : made) {
      EncodeHandle(registry.WholeHandle(caller, *view.segment),
                   reply->add_handle_strings());
    }
    return absl::OkStatus();
  }
  reply->mutable_segments()->Reserve(static_cast<int>(made.size()));
  for (const SegmentView& view : made) {
    v1::Segment* const segment = reply->add_segments();
    if (!IsBrief(extent)) SegmentToProto(*view.segment, segment);
    FillBrief(registry, caller, *view.segment, extent, segment);
  }
  return absl::OkStatus();
}

absl::Status DeleteSegment(SegmentRegistry& registry, const Caller& caller,
                           const v1::DeleteSegmentRequest& request,
                           LetThrough let_through) {
  ASSIGN_OR_RETURN(RemoveCommand command, RemovalFromProto(request));
  if (let_through == LetThrough::kShort) command.most_bytes = kMostShortBytes;
  return registry.Delete(caller, command);
}

bool DeleteSegmentAtOnce(SegmentRegistry& registry, const Caller& caller,
                         const v1::DeleteSegmentRequest& request) {
  if (request.revoke_memory()) return false;
  const absl::StatusOr<RemoveCommand> command = RemovalFromProto(request);
  return command.ok() && registry.DeleteAtOnce(caller, *command);
}

// The keeper's queue may be full, and a memfd that is kept is recorded, which
// is a write. A full view counts pages one by one. A request id is waited for
// while an equal request is at work, which takes as little.
bool CreateSegmentMayWait(const SegmentRegistry& registry,
                          const v1::CreateSegmentRequest& request) {
  return !IsLazyMemfd(request.segment()) || registry.KeepsMemfds() ||
         request.view() == v1::FULL;
}

bool BatchCreateSegmentsMayWait(const SegmentRegistry& registry,
                                const v1::BatchCreateSegmentsRequest& request) {
  const auto& members = request.requests();
  return members.size() >= kLongBatch || request.count() >= kLongBatchAlike ||
         std::any_of(members.begin(), members.end(),
                     [&registry](const v1::CreateSegmentRequest& member) {
                       return CreateSegmentMayWait(registry, member);
                     });
}

}  // namespace shmd
