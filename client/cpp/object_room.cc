// What programs ask for when memory is short.

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/cpp/object_access.h"
#include "client/cpp/proto_convert.h"
#include "shm/lane/answer_reason.h"
#include "shmd/v1/object.pb.h"

namespace shmd {
inline namespace client {
namespace {

// For the daemon to copy objects to files, for others before this program too.
constexpr absl::Duration kSpilling = absl::Seconds(60);

}  // namespace

absl::Status ObjectAccess::MakeRoom(uint64_t size_bytes, absl::Duration wait) {
  ObjectLane::Operation ask;
  ask.submission.kind =
      static_cast<uint32_t>(layout::SubmissionKind::kMakeRoom);
  ask.submission.size_bytes = size_bytes;
  // 0: not at all.
  ask.submission.ttl_ns = static_cast<uint64_t>(absl::ToInt64Nanoseconds(wait));
  RETURN_IF_ERROR(
      lane_.Run(absl::MakeSpan(&ask, 1), CallDeadline() + wait + kSpilling));
  return StatusOfAnswer(ask.answer.result, ask.answer.reason, "");
}

absl::Status ObjectAccess::Lease(absl::string_view id, absl::Duration ttl) {
  v1::LeaseObjectRequest request;
  v1::Object reply;
  request.set_name(absl::StrCat(Parent(), "/objects/", id));
  *request.mutable_ttl() = DurationToProto(ttl);
  return parts_.client->Call(&v1::ObjectService::Stub::LeaseObject, request,
                             reply);
}

}  // namespace client
}  // namespace shmd
