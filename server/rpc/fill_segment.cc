#include "server/rpc/fill_segment.h"

#include "server/attach/handle_proto.h"
#include "server/rpc/segment_to_proto.h"

namespace shmd {

bool IsBrief(v1::SegmentView extent) {
  return extent == v1::IDENTITY || extent == v1::HANDLE;
}

void FillSegment(SegmentRegistry& registry, const Caller& caller,
                 const SegmentView& view, v1::SegmentView extent,
                 v1::Segment* reply) {
  if (IsBrief(extent)) {
    FillBrief(registry, caller, *view.segment, extent, reply);
    return;
  }
  FillWithStatus(registry, caller, view,
                 registry.Status(view, extent == v1::FULL), reply);
}

void FillBrief(const SegmentRegistry& registry, const Caller& caller,
               const Segment& segment, v1::SegmentView extent,
               v1::Segment* reply) {
  if (extent == v1::IDENTITY) IdentityToProto(segment, reply);
  EncodeHandle(registry.WholeHandle(caller, segment),
               reply->mutable_handle_string());
}

void FillWithStatus(const SegmentRegistry& registry, const Caller& caller,
                    const SegmentView& view,
                    const absl::StatusOr<ObjectStatus>& status,
                    v1::Segment* reply) {
  SegmentToProto(*view.segment, reply);
  const Handle handle = registry.WholeHandle(caller, *view.segment);
  HandleToProto(handle, reply->mutable_handle());
  reply->set_handle_string(EncodeHandle(handle));
  // An object that another program removed or replaced leaves the metadata
  // without a status; that is worth showing, not hiding behind an error.
  if (!status.ok()) return;
  StatusToProto(*status, view.entry->object.name, view.attachments,
                reply->mutable_status());
}

}  // namespace shmd
