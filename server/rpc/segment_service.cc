#include "server/rpc/segment_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/fill_segment.h"
#include "server/rpc/immutable_fields.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/segment_to_proto.h"

namespace shmd {
namespace {

// The value of one field, as bytes; the message loses it.
std::string TakeField(v1::Segment& from,
                      const google::protobuf::FieldDescriptor* field) {
  v1::Segment alone;
  from.GetReflection()->SwapFields(&from, &alone, {field});
  return alone.SerializeAsString();
}

// An update that names no fields and sets what cannot be changed: only to what
// it is, as who changes what was read does.
absl::Status CheckNothingElseChanges(const Segment& segment,
                                     v1::Segment wanted) {
  v1::Segment is;
  SegmentToProto(segment, &is);
  for (const auto* const field : SetFields(wanted)) {
    // ResizeSegment alone changes the size.
    if (!IsImmutable(*field) && field->name() != "size_bytes") continue;
    if (TakeField(wanted, field) == TakeField(is, field)) continue;
    return InvalidField(absl::StrCat("segment.", field->name()),
                        reason::kFieldNotUpdatable, "cannot be changed")
        .With("path", field->name());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SegmentService::GetSegment(const Caller& caller,
                                        const v1::GetSegmentRequest& request,
                                        v1::Segment* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::FULL));
  ASSIGN_OR_RETURN(const SegmentView view, registry_->Get(caller, name));
  FillSegment(*registry_, caller, view, extent, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::ListSegments(
    const Caller& caller, const v1::ListSegmentsRequest& request,
    v1::ListSegmentsResponse* reply) {
  ASSIGN_OR_RETURN(ListCommand command, ListFromProto(request));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::BASIC));
  // One more than asked for tells whether there is a next page.
  const size_t limit = command.limit++;
  ASSIGN_OR_RETURN(const std::vector<SegmentView> views,
                   registry_->List(caller, command));
  size_t shown = 0;
  for (size_t bytes = 0;
       shown < std::min(views.size(), limit) && bytes < kMostReplyBytes;
       ++shown) {
    v1::Segment* const segment = reply->add_segments();
    FillSegment(*registry_, caller, views[shown], extent, segment);
    bytes += segment->ByteSizeLong();
  }
  if (views.size() > shown) {
    reply->set_next_page_token(
        MakePageToken(request, views[shown - 1].segment->name.id));
  }
  return absl::OkStatus();
}

absl::Status SegmentService::UpdateSegment(
    const Caller& caller, const v1::UpdateSegmentRequest& request,
    v1::Segment* reply) {
  ASSIGN_OR_RETURN(const UpdateCommand command, UpdateFromProto(request));
  if (request.update_mask().paths().empty()) {
    ASSIGN_OR_RETURN(const SegmentView before,
                     registry_->Get(caller, command.name));
    RETURN_IF_ERROR(
        CheckNothingElseChanges(*before.segment, request.segment()));
  }
  ASSIGN_OR_RETURN(const SegmentView view, registry_->Update(caller, command));
  FillSegment(*registry_, caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::RenewLease(const Caller& caller,
                                        const v1::RenewLeaseRequest& request,
                                        v1::Segment* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  std::optional<absl::Duration> ttl;
  if (request.has_ttl()) {
    ASSIGN_OR_RETURN(ttl, TtlFromProto("ttl", request.ttl()));
  }
  ASSIGN_OR_RETURN(const SegmentView view,
                   registry_->RenewLease(caller, name, ttl));
  FillSegment(*registry_, caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::DeleteSegment(
    const Caller& caller, const v1::DeleteSegmentRequest& request,
    google::protobuf::Empty*) {
  return shmd::DeleteSegment(*registry_, caller, request, LetThrough::kAll);
}

bool SegmentService::DeleteSegmentAtOnce(
    const Caller& caller, const v1::DeleteSegmentRequest& request,
    google::protobuf::Empty*) {
  return shmd::DeleteSegmentAtOnce(*registry_, caller, request);
}

absl::Status SegmentService::SealSegment(const Caller& caller,
                                         const v1::SealSegmentRequest& request,
                                         v1::Segment* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(const SealExtent extent, ExtentFromProto(request.extent()));
  ASSIGN_OR_RETURN(const SegmentView view,
                   registry_->Seal(caller, name, request.etag(), extent));
  FillSegment(*registry_, caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::ResizeSegment(
    const Caller& caller, const v1::ResizeSegmentRequest& request,
    v1::Segment* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  RETURN_IF_ERROR(CheckSize("size_bytes", request.size_bytes()));
  ASSIGN_OR_RETURN(
      const SegmentView view,
      registry_->Resize(caller, name, request.etag(), request.size_bytes()));
  FillSegment(*registry_, caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::FlushSegment(
    const Caller& caller, const v1::FlushSegmentRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(const FlushMode mode, FlushModeFromProto(request.mode()));
  return registry_->Flush(caller, name, mode, request.offset_bytes(),
                          request.length_bytes());
}

absl::Status SegmentService::AdoptSegment(
    const Caller& caller, const v1::AdoptSegmentRequest& request,
    v1::Segment* reply) {
  ASSIGN_OR_RETURN(AdoptCommand command, AdoptFromProto(request));
  ASSIGN_OR_RETURN(const SegmentView view,
                   registry_->Adopt(caller, std::move(command)));
  FillSegment(*registry_, caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::DisownSegment(
    const Caller& caller, const v1::DisownSegmentRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const RemoveCommand command,
                   RemoveOne(request.name(), request.etag()));
  return registry_->Disown(caller, command);
}

absl::Status SegmentService::ReadSegment(const Caller& caller,
                                         const v1::ReadSegmentRequest& request,
                                         v1::ReadSegmentResponse* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(*reply->mutable_data(),
                   registry_->Read(caller, name, request.offset_bytes(),
                                   request.length_bytes()));
  return absl::OkStatus();
}

absl::Status SegmentService::WriteSegment(
    const Caller& caller, const v1::WriteSegmentRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  return registry_->Write(caller, name, request.offset_bytes(), request.data());
}

absl::Status SegmentService::CreateHandle(
    const Caller& caller, const v1::CreateHandleRequest& request,
    v1::CreateHandleResponse* reply) {
  ASSIGN_OR_RETURN(const HandleCommand command,
                   HandleCommandFromProto(request));
  ASSIGN_OR_RETURN(const Handle handle, registry_->MakeHandle(caller, command));
  HandleToProto(handle, reply->mutable_handle());
  reply->set_handle_string(EncodeHandle(handle));
  return absl::OkStatus();
}

}  // namespace shmd
