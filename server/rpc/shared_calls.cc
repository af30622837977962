#include "server/rpc/shared_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/fill_segment.h"
#include "server/rpc/segment_to_proto.h"
#include "shm/limits.h"

namespace shmd {
namespace {

// From here on a batch keeps other calls waiting for longer than it takes to
// give it a thread.
constexpr int kLongBatch = 16;

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

absl::Status CheckLetThrough(LetThrough let_through,
                             absl::Span<const CreateCommand> commands) {
  if (let_through == LetThrough::kAll) return absl::OkStatus();
  uint64_t reserved_bytes = 0;
  for (const CreateCommand& command : commands) {
    const SegmentOptions& options = command.options;
    if (options.backend == BackendKind::kMappedFile) {
      return InvalidField("segment.backend", reason::kRequestInvalid,
                          "is created by a call alone, which may wait for the "
                          "storage");
    }
    if (!command.is_one_more) reserved_bytes = 0;
    if (options.allocation == Allocation::kReserved) {
      reserved_bytes += options.size_bytes;
    }
    if (reserved_bytes > kMostShortBytes) {
      return InvalidField("segment.size_bytes", reason::kRequestInvalid,
                          "is created by a call alone: more than 1 MiB of "
                          "pages would have to be reserved");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RemoveCommand> RemovalFromProto(
    const v1::DeleteSegmentRequest& request) {
  RemoveCommand command;
  ASSIGN_OR_RETURN(SegmentName name, ParseSegmentName("name", request.name()));
  command.names.push_back(std::move(name));
  command.force = request.force();
  command.etag = request.etag();
  command.revoke_memory = request.revoke_memory();
  return command;
}

}  // namespace

absl::Status CreateSegment(SegmentRegistry& registry, const Caller& caller,
                           const v1::CreateSegmentRequest& request,
                           LetThrough let_through, v1::Segment* reply) {
  std::vector<CreateCommand> commands(1);
  ASSIGN_OR_RETURN(commands[0], CreateFromProto(request, "", caller));
  RETURN_IF_ERROR(CheckLetThrough(let_through, commands));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::BASIC));
  ASSIGN_OR_RETURN(const std::vector<SegmentView> made,
                   registry.Create(caller, std::move(commands)));
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
  ASSIGN_OR_RETURN(std::vector<CreateCommand> commands,
                   BatchFromProto(request, caller));
  RETURN_IF_ERROR(CheckLetThrough(let_through, commands));
  ASSIGN_OR_RETURN(const std::vector<SegmentView> made,
                   registry.Create(caller, std::move(commands)));
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
  return members.size() >= kLongBatch || request.count() >= kLongBatch ||
         std::any_of(members.begin(), members.end(),
                     [&registry](const v1::CreateSegmentRequest& member) {
                       return CreateSegmentMayWait(registry, member) ||
                              !member.request_id().empty();
                     });
}

}  // namespace shmd
