#include "server/rpc/serve_caller.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "server/rpc/find_caller.h"
#include "server/rpc/status_to_grpc.h"

namespace shmd {
namespace {

// The one place where a failed request is logged: what callers do wrong at the
// debug level, so that nobody can fill the disk with it.
void LogFailure(const char* method, const Caller& caller,
                const absl::Status& status) {
  const LogLevel level = status.code() == absl::StatusCode::kInternal
                             ? LogLevel::kError
                             : LogLevel::kDebug;
  const std::string who =
      caller.certificate_names.empty()
          ? absl::StrCat("uid ", caller.uid)
          : absl::StrCat("certificate ", caller.certificate_names.front());
  Log(level, absl::StrCat(method, " of ", who, ": ", GetErrorReason(status),
                          ": ", status.message()));
}

}  // namespace

grpc::Status ServeCaller(
    const ConnectionTable& connections, const grpc::ServerContextBase& context,
    const char* method,
    const std::function<absl::Status(const Caller&)>& body) {
  const absl::StatusOr<std::shared_ptr<const Caller>> caller =
      FindCaller(connections, context);
  if (!caller.ok()) return ToGrpcStatus(caller.status());
  SHMD_FAILPOINT("rpc.serve");
  const absl::Status status = body(**caller);
  SHMD_FAILPOINT("rpc.served");
  if (!status.ok()) LogFailure(method, **caller, status);
  return ToGrpcStatus(status);
}

}  // namespace shmd
