#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"

// The RPCs of Client: fill a request, call, convert the reply.

namespace shmd {
inline namespace client {
namespace {

using SegmentStub = v1::SegmentService::Stub;
using Pace = AttachSocket::Pace;

v1::SegmentView ViewToProto(bool full) { return full ? v1::FULL : v1::BASIC; }

// A change that wants a state is refused when it was done already.
Repeat RepeatWith(absl::string_view etag) {
  return etag.empty() ? Repeat::kHarmless : Repeat::kHarmful;
}

// 128 random bits, so that a create whose answer was lost can be repeated.
std::string RandomRequestId() {
  absl::BitGen random;
  return absl::StrCat(
      absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16),
      absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
}

bool EndsWithSession(const SegmentSpec& spec) {
  return spec.lifetime != Lifetime::kUntilDeleted;
}

// Names the session that owns what a spec creates, and gives the request an
// id: another one with each session, as it is another request then.
void NameSession(const SegmentSpec& spec, const std::string& session,
                 v1::CreateSegmentRequest& request) {
  if (spec.request_id.empty()) request.set_request_id(RandomRequestId());
  if (EndsWithSession(spec)) {
    request.mutable_segment()->set_owner_session(session);
  }
}

// Makes a call whose request `name` gives an id and, `in_session`, the session.
template <typename Impl, typename Name, typename Call>
absl::Status CallNamed(Impl& impl, bool in_session, const Name& name,
                       const Call& call) {
  if (in_session) return impl.CallInSession(name, call);
  name("");
  return call();
}

// As CreateSegment has it where nothing is said.
bool IsLazy(const v1::Segment& segment) {
  if (segment.populate() || segment.lock_in_memory()) return false;
  if (segment.allocation() != v1::Segment::ALLOCATION_UNSPECIFIED) {
    return segment.allocation() == v1::Segment::LAZY;
  }
  return segment.backend() != v1::Segment::POSIX &&
         segment.page_size_bytes() <= 4096;
}

// Whether a create keeps what else the session asks for waiting for little
// longer than an attach does: no storage, and few pages.
bool IsShort(const v1::Segment& segment, int count = 1) {
  constexpr uint64_t kFewBytes = 1 << 20;  // as attach.proto has it
  if (segment.backend() == v1::Segment::MAPPED_FILE) return false;
  return IsLazy(segment) ||
         segment.size_bytes() <= kFewBytes / static_cast<uint64_t>(count);
}

template <typename Reply>
std::vector<Segment> SegmentsFromProto(const Reply& reply) {
  std::vector<Segment> out;
  out.reserve(reply.segments_size());
  for (const v1::Segment& segment : reply.segments()) {
    out.push_back(SegmentFromProto(segment));
  }
  return out;
}

}  // namespace

absl::StatusOr<Segment> Client::Create(const SegmentSpec& spec) {
  v1::CreateSegmentRequest request;
  request.set_parent(impl_->Parent());
  SpecToProto(spec, request);
  SHMD_FAILPOINT("client.create");
  v1::Segment reply;
  const auto name = [&](const std::string& session) {
    NameSession(spec, session, request);
  };
  const auto call = [&] {
    return impl_->Call(&SegmentStub::CreateSegment, request, reply);
  };
  const bool is_short = IsShort(request.segment());
  const auto ask = [&](AttachSocket& socket) -> absl::Status {
    ASSIGN_OR_RETURN(
        reply, socket.Create(request, is_short ? Pace::kShort : Pace::kLong));
    return absl::OkStatus();
  };
  const auto ask_long = [&] {
    return impl_->AskLong(Repeat::kHarmless, ask, call);
  };
  const bool in_session = EndsWithSession(spec);
  if (!AttachSocket::Takes(request)) {
    RETURN_IF_ERROR(CallNamed(*impl_, in_session, name, call));
  } else if (is_short) {
    RETURN_IF_ERROR(impl_->Ask(in_session, name, ask));
  } else {
    RETURN_IF_ERROR(CallNamed(*impl_, in_session, name, ask_long));
  }
  SHMD_FAILPOINT("client.created");
  return SegmentFromProto(reply);
}

absl::StatusOr<Segment> Client::Get(absl::string_view name, bool full) {
  v1::GetSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_view(ViewToProto(full));
  v1::Segment reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::GetSegment, request, reply));
  return SegmentFromProto(reply);
}

absl::Status Client::ForEach(const ListOptions& options,
                             const std::function<bool(Segment)>& visit) {
  v1::ListSegmentsRequest request;
  request.set_parent(options.parent.empty() ? impl_->Parent() : options.parent);
  request.set_filter(options.filter);
  request.set_view(ViewToProto(options.full));
  size_t left = options.limit;
  while (left > 0) {
    request.set_page_size(
        static_cast<int>(std::min<size_t>(left, kListPageSize)));
    v1::ListSegmentsResponse reply;
    RETURN_IF_ERROR(impl_->Call(&SegmentStub::ListSegments, request, reply));
    for (const v1::Segment& segment : reply.segments()) {
      if (left == 0) return absl::OkStatus();
      --left;
      if (!visit(SegmentFromProto(segment))) return absl::OkStatus();
    }
    if (reply.next_page_token().empty()) break;
    request.set_page_token(reply.next_page_token());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Segment>> Client::List(const ListOptions& options) {
  std::vector<Segment> out;
  RETURN_IF_ERROR(ForEach(options, [&out](Segment segment) {
    out.push_back(std::move(segment));
    return true;
  }));
  return out;
}

absl::StatusOr<Segment> Client::Update(absl::string_view name,
                                       const SegmentUpdate& update) {
  v1::UpdateSegmentRequest request;
  UpdateToProto(update, request);
  SHMD_FAILPOINT("client.update");
  request.mutable_segment()->set_name(impl_->FullName(name));
  v1::Segment reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::UpdateSegment, request, reply,
                              RepeatWith(update.etag)));
  SHMD_FAILPOINT("client.updated");
  return SegmentFromProto(reply);
}

absl::Status Client::Delete(absl::string_view name,
                            const DeleteOptions& options) {
  SHMD_FAILPOINT("client.delete");
  v1::DeleteSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_force(options.force);
  request.set_etag(options.etag);
  request.set_revoke_memory(options.revoke_memory);
  const auto call = [&] {
    google::protobuf::Empty reply;
    return impl_->Call(&SegmentStub::DeleteSegment, request, reply,
                       Repeat::kHarmful);
  };
  if (!AttachSocket::Takes(request)) {
    impl_->AwaitDetaches();
    return call();
  }
  const absl::Status answer = impl_->AskOnce([&](AttachSocket& socket) {
    return socket.Delete(request, Pace::kShort);
  });
  if (GetErrorReason(answer) != reason::kRequestInvalid) return answer;
  const auto ask = [&](AttachSocket& socket) {
    return socket.Delete(request, Pace::kLong);
  };
  return impl_->AskLong(Repeat::kHarmful, ask, call);
}

absl::StatusOr<Segment> Client::Seal(absl::string_view name, SealExtent extent,
                                     absl::string_view etag) {
  impl_->AwaitDetaches();
  SHMD_FAILPOINT("client.seal");
  v1::SealSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_extent(ExtentToProto(extent));
  request.set_etag(std::string(etag));
  v1::Segment reply;
  RETURN_IF_ERROR(
      impl_->Call(&SegmentStub::SealSegment, request, reply, Repeat::kHarmful));
  SHMD_FAILPOINT("client.sealed");
  return SegmentFromProto(reply);
}

absl::StatusOr<Segment> Client::Resize(absl::string_view name,
                                       uint64_t size_bytes,
                                       absl::string_view etag) {
  impl_->AwaitDetaches();
  SHMD_FAILPOINT("client.resize");
  v1::ResizeSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_size_bytes(size_bytes);
  request.set_etag(std::string(etag));
  v1::Segment reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::ResizeSegment, request, reply,
                              RepeatWith(etag)));
  SHMD_FAILPOINT("client.resized");
  return SegmentFromProto(reply);
}

absl::Status Client::Flush(absl::string_view name, FlushMode mode,
                           uint64_t offset_bytes, uint64_t length_bytes) {
  v1::FlushSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_mode(FlushModeToProto(mode));
  request.set_offset_bytes(offset_bytes);
  request.set_length_bytes(length_bytes);
  google::protobuf::Empty reply;
  return impl_->Call(&SegmentStub::FlushSegment, request, reply);
}

absl::StatusOr<Segment> Client::Adopt(const AdoptSpec& spec) {
  v1::AdoptSegmentRequest request;
  request.set_parent(impl_->Parent());
  AdoptToProto(spec, request);
  v1::Segment reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::AdoptSegment, request, reply,
                              Repeat::kHarmful));
  return SegmentFromProto(reply);
}

absl::Status Client::Disown(absl::string_view name, absl::string_view etag) {
  v1::DisownSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_etag(std::string(etag));
  google::protobuf::Empty reply;
  return impl_->Call(&SegmentStub::DisownSegment, request, reply,
                     Repeat::kHarmful);
}

absl::StatusOr<std::string> Client::Read(absl::string_view name,
                                         uint64_t offset_bytes,
                                         uint64_t length_bytes) {
  SHMD_FAILPOINT("client.read");
  v1::ReadSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_offset_bytes(offset_bytes);
  request.set_length_bytes(length_bytes);
  v1::ReadSegmentResponse reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::ReadSegment, request, reply));
  return std::move(*reply.mutable_data());
}

absl::Status Client::Write(absl::string_view name, uint64_t offset_bytes,
                           absl::string_view data) {
  SHMD_FAILPOINT("client.write");
  v1::WriteSegmentRequest request;
  request.set_name(impl_->FullName(name));
  request.set_offset_bytes(offset_bytes);
  request.set_data(data.data(), data.size());
  google::protobuf::Empty reply;
  return impl_->Call(&SegmentStub::WriteSegment, request, reply);
}

absl::StatusOr<std::vector<Segment>> Client::BatchCreate(
    absl::Span<const SegmentSpec> specs) {
  v1::BatchCreateSegmentsRequest request;
  request.set_parent(impl_->Parent());
  for (const SegmentSpec& spec : specs) {
    SpecToProto(spec, *request.add_requests());
  }
  SHMD_FAILPOINT("client.batch_create");
  v1::BatchCreateSegmentsResponse reply;
  const auto name = [&](const std::string& session) {
    for (size_t i = 0; i < specs.size(); ++i) {
      NameSession(specs[i], session,
                  *request.mutable_requests(static_cast<int>(i)));
    }
  };
  const auto call = [&] {
    return impl_->Call(&SegmentStub::BatchCreateSegments, request, reply);
  };
  RETURN_IF_ERROR(CallNamed(
      *impl_, std::any_of(specs.begin(), specs.end(), EndsWithSession), name,
      call));
  return SegmentsFromProto(reply);
}

absl::StatusOr<std::vector<std::string>> Client::CreateMany(
    const SegmentSpec& spec, int count) {
  // To the daemon, 0 is another thing.
  if (count < 1) {
    return InvalidField("count", reason::kBatchTooLarge, "is not 1 to 1000");
  }
  v1::BatchCreateSegmentsRequest request;
  request.set_parent(impl_->Parent());
  request.set_count(count);
  request.set_view(v1::HANDLE);
  v1::CreateSegmentRequest& one = *request.add_requests();
  SpecToProto(spec, one);
  SHMD_FAILPOINT("client.create_many");
  v1::BatchCreateSegmentsResponse reply;
  const auto name = [&](const std::string& session) {
    NameSession(spec, session, one);
  };
  const auto call = [&] {
    return impl_->Call(&SegmentStub::BatchCreateSegments, request, reply);
  };
  const auto ask = [&](AttachSocket& socket) -> absl::Status {
    ASSIGN_OR_RETURN(reply, socket.CreateBatch(request));
    return absl::OkStatus();
  };
  const bool in_session = EndsWithSession(spec);
  RETURN_IF_ERROR(IsShort(one.segment(), count) && AttachSocket::Takes(request)
                      ? impl_->Ask(in_session, name, ask)
                      : CallNamed(*impl_, in_session, name, call));
  auto& handles = *reply.mutable_handle_strings();
  return std::vector<std::string>(std::make_move_iterator(handles.begin()),
                                  std::make_move_iterator(handles.end()));
}

absl::StatusOr<Segment> Client::RenewLease(absl::string_view name,
                                           std::optional<absl::Duration> ttl) {
  v1::RenewLeaseRequest request;
  request.set_name(impl_->FullName(name));
  if (ttl.has_value()) *request.mutable_ttl() = DurationToProto(*ttl);
  v1::Segment reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::RenewLease, request, reply));
  return SegmentFromProto(reply);
}

absl::StatusOr<std::vector<Segment>> Client::BatchGet(
    absl::Span<const std::string> names, bool full) {
  v1::BatchGetSegmentsRequest request;
  request.set_parent(impl_->Parent());
  request.set_view(ViewToProto(full));
  for (const std::string& name : names) {
    request.add_names(impl_->FullName(name));
  }
  v1::BatchGetSegmentsResponse reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::BatchGetSegments, request, reply));
  return SegmentsFromProto(reply);
}

absl::Status Client::BatchDelete(absl::Span<const std::string> names,
                                 bool force) {
  impl_->AwaitDetaches();
  SHMD_FAILPOINT("client.batch_delete");
  v1::BatchDeleteSegmentsRequest request;
  request.set_parent(impl_->Parent());
  request.set_force(force);
  for (const std::string& name : names) {
    request.add_names(impl_->FullName(name));
  }
  google::protobuf::Empty reply;
  return impl_->Call(&SegmentStub::BatchDeleteSegments, request, reply,
                     Repeat::kHarmful);
}

absl::StatusOr<std::string> Client::CreateHandle(absl::string_view name,
                                                 const HandleOptions& options) {
  v1::CreateHandleRequest request;
  request.set_name(impl_->FullName(name));
  request.set_access(options.access == Access::kReadWrite ? v1::READ_WRITE
                                                          : v1::READ);
  request.set_offset_bytes(options.offset_bytes);
  request.set_length_bytes(options.length_bytes);
  if (options.ttl.has_value()) {
    *request.mutable_ttl() = DurationToProto(*options.ttl);
  }
  v1::CreateHandleResponse reply;
  RETURN_IF_ERROR(impl_->Call(&SegmentStub::CreateHandle, request, reply));
  SHMD_FAILPOINT("client.handle_made");
  return std::move(*reply.mutable_handle_string());
}

absl::StatusOr<Node> Client::GetNode() {
  v1::Node reply;
  RETURN_IF_ERROR(impl_->Call(&v1::NodeService::Stub::GetNode,
                              v1::GetNodeRequest(), reply));
  return NodeFromProto(reply);
}

}  // namespace client
}  // namespace shmd
