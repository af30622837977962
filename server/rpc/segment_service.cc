#include "server/rpc/segment_service.h"

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/segment_to_proto.h"

namespace shmd {
namespace {

absl::StatusOr<RemoveCommand> RemoveOne(const std::string& name, bool force,
                                        const std::string& etag) {
  RemoveCommand command;
  ASSIGN_OR_RETURN(SegmentName parsed, ParseSegmentName("name", name));
  command.names.push_back(std::move(parsed));
  command.force = force;
  command.etag = etag;
  return command;
}

}  // namespace

void SegmentService::Fill(const Caller& caller, const SegmentView& view,
                          v1::SegmentView extent, v1::Segment* reply) {
  if (extent == v1::IDENTITY) {
    FillIdentity(caller, *view.segment, reply);
    return;
  }
  FillWith(caller, view, registry_->Status(view, extent == v1::FULL), reply);
}

void SegmentService::FillIdentity(const Caller& caller, const Segment& segment,
                                  v1::Segment* reply) {
  IdentityToProto(segment, reply);
  reply->set_handle_string(
      EncodeHandle(registry_->WholeHandle(caller, segment)));
}

void SegmentService::FillWith(const Caller& caller, const SegmentView& view,
                              const absl::StatusOr<ObjectStatus>& status,
                              v1::Segment* reply) {
  SegmentToProto(*view.segment, reply);
  const Handle handle = registry_->WholeHandle(caller, *view.segment);
  HandleToProto(handle, reply->mutable_handle());
  reply->set_handle_string(EncodeHandle(handle));
  // An object that another program removed or replaced leaves the metadata
  // without a status; that is worth showing, not hiding behind an error.
  if (!status.ok()) return;
  StatusToProto(*status, view.entry->object.name, view.attachments,
                reply->mutable_status());
}

absl::Status SegmentService::CreateSegment(
    const Caller& caller, const v1::CreateSegmentRequest& request,
    v1::Segment* reply) {
  std::vector<CreateCommand> commands(1);
  ASSIGN_OR_RETURN(commands[0], CreateFromProto(request, "", caller));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::BASIC));
  ASSIGN_OR_RETURN(const std::vector<SegmentView> made,
                   registry_->Create(caller, std::move(commands)));
  // Under a request id it may have been made long ago.
  if (extent == v1::BASIC && request.request_id().empty()) {
    FillWith(caller, made[0], registry_->FreshStatus(made[0]), reply);
  } else {
    Fill(caller, made[0], extent, reply);
  }
  return absl::OkStatus();
}

absl::Status SegmentService::GetSegment(const Caller& caller,
                                        const v1::GetSegmentRequest& request,
                                        v1::Segment* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::FULL));
  ASSIGN_OR_RETURN(const SegmentView view, registry_->Get(caller, name));
  Fill(caller, view, extent, reply);
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
  for (size_t i = 0; i < views.size() && i < limit; ++i) {
    Fill(caller, views[i], extent, reply->add_segments());
  }
  if (views.size() > limit) {
    reply->set_next_page_token(
        MakePageToken(request, views[limit - 1].segment->name.id));
  }
  return absl::OkStatus();
}

absl::Status SegmentService::UpdateSegment(
    const Caller& caller, const v1::UpdateSegmentRequest& request,
    v1::Segment* reply) {
  ASSIGN_OR_RETURN(const UpdateCommand command, UpdateFromProto(request));
  ASSIGN_OR_RETURN(const SegmentView view, registry_->Update(caller, command));
  Fill(caller, view, v1::BASIC, reply);
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
  Fill(caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::DeleteSegment(
    const Caller& caller, const v1::DeleteSegmentRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(RemoveCommand command,
                   RemoveOne(request.name(), request.force(), request.etag()));
  command.revoke_memory = request.revoke_memory();
  return registry_->Delete(caller, command);
}

bool SegmentService::DeleteSegmentAtOnce(
    const Caller& caller, const v1::DeleteSegmentRequest& request,
    google::protobuf::Empty*) {
  if (request.revoke_memory()) return false;
  const absl::StatusOr<RemoveCommand> command =
      RemoveOne(request.name(), request.force(), request.etag());
  return command.ok() && registry_->DeleteAtOnce(caller, *command);
}

absl::Status SegmentService::SealSegment(const Caller& caller,
                                         const v1::SealSegmentRequest& request,
                                         v1::Segment* reply) {
  ASSIGN_OR_RETURN(const SegmentName name,
                   ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(const SealExtent extent, ExtentFromProto(request.extent()));
  ASSIGN_OR_RETURN(const SegmentView view,
                   registry_->Seal(caller, name, request.etag(), extent));
  Fill(caller, view, v1::BASIC, reply);
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
  Fill(caller, view, v1::BASIC, reply);
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
  Fill(caller, view, v1::BASIC, reply);
  return absl::OkStatus();
}

absl::Status SegmentService::DisownSegment(
    const Caller& caller, const v1::DisownSegmentRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const RemoveCommand command,
                   RemoveOne(request.name(), false, request.etag()));
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
