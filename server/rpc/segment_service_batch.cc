// The batch methods of SegmentService.

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/fill_segment.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/segment_service.h"

namespace shmd {
namespace {

absl::StatusOr<std::vector<SegmentName>> ParseNames(
    const std::string& parent,
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", parent));
  std::vector<SegmentName> parsed;
  parsed.reserve(static_cast<size_t>(names.size()));
  for (int i = 0; i < names.size(); ++i) {
    const size_t index = static_cast<size_t>(i);
    absl::StatusOr<SegmentName> name = ParseSegmentName("names", names[i]);
    if (!name.ok()) return AtIndex(name.status(), "names", index);
    if (name->name_space != name_space) {
      return AtIndex(InvalidField("names", reason::kNameInvalid,
                                  "is of another namespace than parent"),
                     "names", index);
    }
    parsed.push_back(*std::move(name));
  }
  return parsed;
}

absl::Status CheckEachOnce(
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  absl::flat_hash_set<absl::string_view> seen;
  for (int i = 0; i < names.size(); ++i) {
    if (!seen.insert(names[i]).second) {
      return AtIndex(
          InvalidField("names", reason::kFieldInvalid, "is named twice"),
          "names", static_cast<size_t>(i));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SegmentService::BatchGetSegments(
    const Caller& caller, const v1::BatchGetSegmentsRequest& request,
    v1::BatchGetSegmentsResponse* reply) {
  RETURN_IF_ERROR(CheckBatch("names", request.names_size()));
  ASSIGN_OR_RETURN(const v1::SegmentView extent,
                   ReadView(request.view(), v1::BASIC));
  ASSIGN_OR_RETURN(const std::vector<SegmentName> names,
                   ParseNames(request.parent(), request.names()));
  size_t bytes = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const absl::StatusOr<SegmentView> view = registry_->Get(caller, names[i]);
    if (!view.ok()) return AtIndex(view.status(), "names", i);
    v1::Segment* const segment = reply->add_segments();
    FillSegment(*registry_, caller, *view, extent, segment);
    bytes += segment->ByteSizeLong();
    if (bytes > kMostReplyBytes) {
      return AtIndex(ReplyTooLarge("names"), "names", i);
    }
  }
  return absl::OkStatus();
}

absl::Status SegmentService::BatchDeleteSegments(
    const Caller& caller, const v1::BatchDeleteSegmentsRequest& request,
    google::protobuf::Empty*) {
  RETURN_IF_ERROR(CheckBatch("names", request.names_size()));
  RemoveCommand command;
  command.force = request.force();
  ASSIGN_OR_RETURN(command.names,
                   ParseNames(request.parent(), request.names()));
  RETURN_IF_ERROR(CheckEachOnce(request.names()));
  return registry_->Delete(caller, command);
}

}  // namespace shmd
