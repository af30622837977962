#include "client/cpp/rpc_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "google/rpc/error_details.pb.h"

namespace shmd {
inline namespace client {
namespace {

// google.rpc.Code, grpc::StatusCode and absl::StatusCode share their numbers.
absl::StatusCode CodeFromNumber(int number) {
  if (number <= 0 || number > 16) return absl::StatusCode::kInternal;
  return static_cast<absl::StatusCode>(number);
}

ErrorDetail DetailFromProto(const google::rpc::Status& error) {
  ErrorDetail detail;
  for (const google::protobuf::Any& any : error.details()) {
    google::rpc::ErrorInfo cause;
    google::rpc::BadRequest bad_request;
    if (any.Is<google::rpc::ErrorInfo>() && any.UnpackTo(&cause) &&
        cause.domain() == "shmd") {
      detail.reason = cause.reason();
      for (const auto& [key, value] : cause.metadata()) {
        detail.metadata[key] = value;
      }
    } else if (any.Is<google::rpc::BadRequest>() &&
               any.UnpackTo(&bad_request) &&
               bad_request.field_violations_size() > 0) {
      detail.field = bad_request.field_violations(0).field();
    }
  }
  return detail;
}

}  // namespace

absl::Status StatusFromProto(const google::rpc::Status& error) {
  absl::Status status(CodeFromNumber(error.code()), error.message());
  const ErrorDetail detail = DetailFromProto(error);
  if (detail.reason.empty() && detail.field.empty()) return status;
  return WithErrorDetail(std::move(status), detail);
}

absl::Status StatusFromGrpc(const grpc::Status& status,
                            absl::string_view socket_dir) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status error;
  if (!error.ParseFromString(status.error_details())) error.Clear();
  // The details are the server's to write: code and message are gRPC's.
  error.set_code(status.error_code());
  error.set_message(status.error_message());
  absl::Status result = StatusFromProto(error);
  // A daemon that stops cancels the calls that come too late to be refused.
  if ((absl::IsUnavailable(result) || absl::IsCancelled(result)) &&
      GetErrorReason(result).empty()) {
    return UnreachableStatus(socket_dir, status.error_message());
  }
  return result;
}

absl::Status UnreachableStatus(absl::string_view socket_dir,
                               absl::string_view why) {
  return Error(
             absl::StatusCode::kUnavailable, reason::kServerUnreachable,
             absl::StrCat("no daemon answers in ", socket_dir, " (", why,
                          "); start one with: shmd --socket_dir=", socket_dir))
      .With("socket_dir", socket_dir)
      .With("why", why);
}

}  // namespace client
}  // namespace shmd
