#include "server/session/session.h"

#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr absl::string_view kPrefix = "sessions/";

}  // namespace

std::string SessionName(const SessionId& id) {
  return std::string(kPrefix) + UidToHex(id);
}

absl::StatusOr<SessionId> ParseSessionName(absl::string_view field,
                                           absl::string_view name) {
  absl::string_view hex = name;
  if (absl::ConsumePrefix(&hex, kPrefix)) {
    const std::optional<SessionId> id = UidFromHex(hex);
    if (id.has_value()) return *id;
  }
  return absl::StatusOr<SessionId>(InvalidField(
      field, reason::kNameInvalid, "is not sessions/{32 hexadecimal digits}"));
}

absl::Status SessionNotFound(const SessionId& id) {
  return Error(absl::StatusCode::kNotFound, reason::kSessionNotFound,
               "there is no such session, or it is another process's")
      .With("session", SessionName(id));
}

}  // namespace shmd
