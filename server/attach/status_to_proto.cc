#include "server/attach/status_to_proto.h"

#include <string>

#include "base/error.h"
#include "base/error_reason.h"
#include "google/rpc/error_details.pb.h"

namespace shmd {
namespace {

constexpr char kDomain[] = "shmd";

}  // namespace

google::rpc::Status StatusToProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(std::string(status.message()));
  const ErrorDetail detail = GetErrorDetail(status);
  google::rpc::ErrorInfo error;
  // Every error of ours has a reason; one without is a fault of ours.
  error.set_reason(detail.reason.empty() ? reason::kInvariantBroken
                                         : detail.reason);
  error.set_domain(kDomain);
  for (const auto& [key, value] : detail.metadata) {
    (*error.mutable_metadata())[key] = value;
  }
  proto.add_details()->PackFrom(error);
  if (!detail.field.empty()) {
    google::rpc::BadRequest bad_request;
    auto* const violation = bad_request.add_field_violations();
    violation->set_field(detail.field);
    violation->set_description(std::string(status.message()));
    proto.add_details()->PackFrom(bad_request);
  }
  return proto;
}

}  // namespace shmd
