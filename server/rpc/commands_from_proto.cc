#include "server/rpc/commands_from_proto.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <sodium.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/rpc/immutable_fields.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/page.h"
#include "server/session/session.h"

namespace shmd {
namespace {

// A hash of the request's content; maps are written in key order, so that equal
// requests have equal hashes.
std::string RequestFingerprint(const google::protobuf::Message& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  std::string hash(crypto_generichash_BYTES, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size(), nullptr, 0);
  return hash;
}

// What the pages of one list have in common.
std::string ListedBy(const v1::ListSegmentsRequest& request) {
  return absl::StrCat(request.parent(), "\n", request.filter());
}

absl::Status ApplySegmentPath(const std::string& path,
                              const v1::Segment& segment,
                              UpdateCommand* command) {
  absl::string_view label = path;
  if (path == "labels") {
    command->labels = LabelsFromProto(segment);
  } else if (absl::ConsumePrefix(&label, "labels.") && !label.empty()) {
    if (!command->label_changes.has_value()) command->label_changes.emplace();
    const auto found = segment.labels().find(std::string(label));
    (*command->label_changes)[std::string(label)] =
        found == segment.labels().end()
            ? std::nullopt
            : std::optional<std::string>(found->second);
  } else if (path == "mode") {
    const uint32_t mode = segment.has_mode() ? segment.mode() : 0600;
    RETURN_IF_ERROR(CheckMode("segment.mode", mode));
    command->mode = mode;
  } else if (path == "owner" && segment.has_owner()) {
    RETURN_IF_ERROR(CheckId("segment.owner", segment.owner()));
    command->owner = segment.owner();
  } else if (path == "group" && segment.has_group()) {
    RETURN_IF_ERROR(CheckId("segment.group", segment.group()));
    command->group = segment.group();
  } else if (path == "ttl" || path == "expire_time") {
    ASSIGN_OR_RETURN(command->expiration, ExpirationFromProto(segment));
  } else {
    return InvalidField("update_mask", reason::kFieldNotUpdatable,
                        "names what cannot be changed, or has no value")
        .With("path", Excerpt(path, 128));
  }
  return absl::OkStatus();
}

// Without a mask: every field that can be changed and is set.
std::set<std::string> SetSegmentPaths(const v1::Segment& segment) {
  std::set<std::string> paths;
  if (!segment.labels().empty()) paths.insert("labels");
  if (segment.has_mode()) paths.insert("mode");
  if (segment.has_owner()) paths.insert("owner");
  if (segment.has_group()) paths.insert("group");
  if (segment.has_ttl()) paths.insert("ttl");
  if (segment.has_expire_time()) paths.insert("expire_time");
  return paths;
}

absl::Status LifetimeFromProto(const v1::Segment& segment,
                               CreateCommand* command) {
  switch (segment.lifetime()) {
    case v1::Segment::LIFETIME_UNSPECIFIED:
    case v1::Segment::UNTIL_DELETED:
      if (segment.owner_session().empty()) return absl::OkStatus();
      return InvalidField("segment.owner_session", reason::kFieldInvalid,
                          "is of no use without a lifetime of SESSION");
    case v1::Segment::SESSION:
      command->lifetime = Lifetime::kSession;
      break;
    case v1::Segment::SESSION_UNTIL_SEALED:
      command->lifetime = Lifetime::kSessionUntilSealed;
      break;
    default:
      return UnknownNumber("segment.lifetime");
  }
  ASSIGN_OR_RETURN(
      command->owner_session,
      ParseSessionName("segment.owner_session", segment.owner_session()));
  return absl::OkStatus();
}

absl::StatusOr<Access> ReadAccess(absl::string_view field, v1::Access access) {
  switch (access) {
    case v1::ACCESS_UNSPECIFIED:
    case v1::READ:
      return Access::kRead;
    case v1::READ_WRITE:
      return Access::kReadWrite;
    default:
      return absl::StatusOr<Access>(UnknownNumber(field));
  }
}

// Whether there can be several of a batch's only request.
absl::Status CheckAlike(const v1::BatchCreateSegmentsRequest& request) {
  if (request.count() < 1 || request.count() > kMaxBatch) {
    return InvalidField("count", reason::kBatchTooLarge,
                        absl::StrCat("is not 1 to ", kMaxBatch));
  }
  if (request.requests_size() != 1) {
    return InvalidField("count", reason::kFieldInvalid,
                        "wants exactly one request");
  }
  const v1::CreateSegmentRequest& one = request.requests(0);
  const v1::Segment& segment = one.segment();
  if (one.segment_id().empty() && segment.posix_name().empty() &&
      segment.sysv_key() == 0 && segment.file_path().empty()) {
    return absl::OkStatus();
  }
  return InvalidField("count", reason::kFieldInvalid,
                      "is for requests without segment_id, posix_name, "
                      "sysv_key and file_path, which are of one segment");
}

}  // namespace

absl::StatusOr<CreateCommand> CreateFromProto(
    const v1::CreateSegmentRequest& request, const std::string& batch_parent,
    const Caller& caller) {
  CreateCommand command;
  if (!batch_parent.empty() && !request.parent().empty() &&
      request.parent() != batch_parent) {
    return InvalidField("parent", reason::kNameInvalid,
                        "is not that of the batch");
  }
  ASSIGN_OR_RETURN(command.name_space,
                   ParseNamespaceName("parent", request.parent().empty()
                                                    ? batch_parent
                                                    : request.parent()));
  if (!request.segment_id().empty()) {
    RETURN_IF_ERROR(CheckSegmentId("segment_id", request.segment_id()));
  }
  command.id = request.segment_id();
  ASSIGN_OR_RETURN(command.options,
                   OptionsFromProto(request.segment(), caller));
  command.labels = LabelsFromProto(request.segment());
  RETURN_IF_ERROR(CheckLabels(command.labels));
  ASSIGN_OR_RETURN(command.expiration, ExpirationFromProto(request.segment()));
  RETURN_IF_ERROR(LifetimeFromProto(request.segment(), &command));
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  command.request_id = request.request_id();
  if (!command.request_id.empty())
    command.fingerprint = RequestFingerprint(request);
  return command;
}

absl::StatusOr<CreateOrder> BatchFromProto(
    const v1::BatchCreateSegmentsRequest& request, const Caller& caller) {
  RETURN_IF_ERROR(CheckBatch("requests", request.requests_size()));
  RETURN_IF_ERROR(ParseNamespaceName("parent", request.parent()).status());
  std::vector<CreateCommand> commands;
  commands.reserve(static_cast<size_t>(request.requests_size()));
  for (int i = 0; i < request.requests_size(); ++i) {
    absl::StatusOr<CreateCommand> command =
        CreateFromProto(request.requests(i), request.parent(), caller);
    if (!command.ok()) {
      return AtIndex(command.status(), "requests", static_cast<size_t>(i));
    }
    commands.push_back(*std::move(command));
  }
  if (request.count() == 0) return CreateOrder(std::move(commands));
  RETURN_IF_ERROR(CheckAlike(request));
  CreateCommand& one = commands.front();
  if (!one.request_id.empty()) {
    absl::StrAppend(&one.fingerprint, request.count());
  }
  return CreateOrder(std::move(one), static_cast<size_t>(request.count()));
}

// What is taken up stays as it is: to ask for anything of it is a mistake.
absl::Status CheckNothingIsAskedOf(const v1::Segment& segment) {
  const std::set<std::string> names = {"backend", "posix_name", "sysv_key",
                                       "file_path"};
  const std::set<std::string> ownership = {"mode", "owner", "group"};
  for (const auto* const field : SetFields(segment)) {
    const bool is_asked = IsImmutable(*field)
                              ? names.count(field->name()) == 0
                              : ownership.count(field->name()) != 0;
    if (is_asked) {
      return InvalidField(absl::StrCat("segment.", field->name()),
                          reason::kFieldInvalid,
                          "cannot be given to what is adopted");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<AdoptCommand> AdoptFromProto(
    const v1::AdoptSegmentRequest& request) {
  AdoptCommand command;
  ASSIGN_OR_RETURN(command.name_space,
                   ParseNamespaceName("parent", request.parent()));
  if (!request.segment_id().empty()) {
    RETURN_IF_ERROR(CheckSegmentId("segment_id", request.segment_id()));
  }
  command.id = request.segment_id();
  const v1::Segment& segment = request.segment();
  RETURN_IF_ERROR(CheckNothingIsAskedOf(segment));
  AdoptOptions& options = command.options;
  ASSIGN_OR_RETURN(options.backend, BackendFromProto(segment.backend()));
  options.posix_name = segment.posix_name();
  options.sysv_key = segment.sysv_key();
  options.file_path = segment.file_path();
  if (request.has_sysv_id()) options.sysv_id = request.sysv_id();
  const bool names_one_object =
      !options.posix_name.empty() + !options.file_path.empty() +
          (options.sysv_key != 0) + options.sysv_id.has_value() ==
      1;
  const bool fits =
      (options.backend == BackendKind::kPosix && !options.posix_name.empty()) ||
      (options.backend == BackendKind::kMappedFile &&
       !options.file_path.empty()) ||
      (options.backend == BackendKind::kSysv &&
       (options.sysv_key != 0 || options.sysv_id.has_value()));
  if (!names_one_object || !fits) {
    return InvalidField("segment.backend", reason::kBackendInvalid,
                        "wants exactly the one name that belongs to it: "
                        "posix_name, sysv_key or sysv_id, or file_path");
  }
  command.labels = LabelsFromProto(segment);
  RETURN_IF_ERROR(CheckLabels(command.labels));
  ASSIGN_OR_RETURN(command.expiration, ExpirationFromProto(segment));
  return command;
}

absl::StatusOr<RemoveCommand> RemoveOne(const std::string& name,
                                        const std::string& etag) {
  RemoveCommand command;
  ASSIGN_OR_RETURN(SegmentName parsed, ParseSegmentName("name", name));
  command.names.push_back(std::move(parsed));
  command.etag = etag;
  return command;
}

absl::StatusOr<UpdateCommand> UpdateFromProto(
    const v1::UpdateSegmentRequest& request) {
  UpdateCommand command;
  const v1::Segment& segment = request.segment();
  ASSIGN_OR_RETURN(command.name,
                   ParseSegmentName("segment.name", segment.name()));
  command.etag = segment.etag();
  const auto& mask = request.update_mask().paths();
  // Each once: a request has room for the same one 100,000 times.
  const std::set<std::string> paths =
      mask.empty() ? SetSegmentPaths(segment)
                   : std::set<std::string>(mask.begin(), mask.end());
  if (paths.empty()) {
    return InvalidField("update_mask", reason::kFieldNotUpdatable,
                        "names nothing, and nothing is set");
  }
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(ApplySegmentPath(path, segment, &command));
  }
  return command;
}

absl::StatusOr<ListCommand> ListFromProto(
    const v1::ListSegmentsRequest& request) {
  ListCommand command;
  ASSIGN_OR_RETURN(command.name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(command.limit, PageLimit(request.page_size()));
  ASSIGN_OR_RETURN(command.filter, SegmentFilter::Parse(request.filter()));
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(command.after_id,
                     ReadPageToken(ListedBy(request), request.page_token()));
    if (!CheckSegmentId("page_token", command.after_id).ok()) {
      return absl::StatusOr<ListCommand>(PageTokenInvalid());
    }
  }
  return command;
}

std::string MakePageToken(const v1::ListSegmentsRequest& request,
                          const std::string& last_id) {
  return MakePageToken(ListedBy(request), last_id);
}

absl::StatusOr<HandleCommand> HandleCommandFromProto(
    const v1::CreateHandleRequest& request) {
  HandleCommand command;
  ASSIGN_OR_RETURN(command.name, ParseSegmentName("name", request.name()));
  ASSIGN_OR_RETURN(command.access, ReadAccess("access", request.access()));
  command.offset_bytes = request.offset_bytes();
  command.length_bytes = request.length_bytes();
  if (request.has_ttl()) {
    ASSIGN_OR_RETURN(command.ttl, TtlFromProto("ttl", request.ttl()));
  }
  return command;
}

absl::StatusOr<GrantCommand> GrantFromProto(const v1::Grant& grant) {
  GrantCommand command;
  for (const int role : grant.roles()) {
    if (role < v1::Grant::PUBLISHER || role > v1::Grant::SERVER) {
      return absl::StatusOr<GrantCommand>(UnknownNumber("grant.roles"));
    }
    command.roles |= 1u << (role - v1::Grant::PUBLISHER);
  }
  ASSIGN_OR_RETURN(command.access, ReadAccess("grant.access", grant.access()));
  if (grant.has_ttl()) {
    ASSIGN_OR_RETURN(command.expiration.ttl,
                     TtlFromProto("grant.ttl", grant.ttl()));
  }
  if (grant.has_expire_time()) {
    ASSIGN_OR_RETURN(command.expiration.time,
                     TimeFromProto("grant.expire_time", grant.expire_time()));
  }
  command.max_uses = grant.max_uses();
  if (grant.has_uid()) {
    RETURN_IF_ERROR(CheckId("grant.uid", grant.uid()));
    command.uid = grant.uid();
  }
  return command;
}

absl::StatusOr<SealExtent> ExtentFromProto(
    v1::SealSegmentRequest::Extent extent) {
  switch (extent) {
    case v1::SealSegmentRequest::EXTENT_UNSPECIFIED:
    case v1::SealSegmentRequest::ALL_WRITES:
      return SealExtent::kAllWrites;
    case v1::SealSegmentRequest::NEW_WRITERS:
      return SealExtent::kNewWriters;
    default:
      return absl::StatusOr<SealExtent>(UnknownNumber("extent"));
  }
}

absl::StatusOr<FlushMode> FlushModeFromProto(
    v1::FlushSegmentRequest::Mode mode) {
  switch (mode) {
    case v1::FlushSegmentRequest::MODE_UNSPECIFIED:
    case v1::FlushSegmentRequest::SYNCHRONOUS:
      return FlushMode::kSynchronous;
    case v1::FlushSegmentRequest::ASYNCHRONOUS:
      return FlushMode::kAsynchronous;
    case v1::FlushSegmentRequest::INVALIDATE:
      return FlushMode::kInvalidate;
    default:
      return absl::StatusOr<FlushMode>(UnknownNumber("mode"));
  }
}

absl::StatusOr<v1::SegmentView> ReadView(v1::SegmentView view,
                                         v1::SegmentView unspecified) {
  switch (view) {
    case v1::SEGMENT_VIEW_UNSPECIFIED:
      return unspecified;
    case v1::BASIC:
    case v1::FULL:
    case v1::IDENTITY:
    case v1::HANDLE:
      return view;
    default:
      return absl::StatusOr<v1::SegmentView>(UnknownNumber("view"));
  }
}

}  // namespace shmd
