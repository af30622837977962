#include "shm/channel/call_status.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr size_t kMaxErrorBytes = 4096;

}  // namespace

absl::Status ServerGoneError(absl::string_view message) {
  return Error(absl::StatusCode::kUnavailable, reason::kServerGone, message);
}

absl::Status ResponseLostError() {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kCutOff,
               "the server has taken a response back that was not read");
}

std::string EncodeError(const absl::Status& error) {
  const auto code = static_cast<uint32_t>(error.code());
  std::string payload(reinterpret_cast<const char*>(&code), sizeof(code));
  const absl::string_view message = error.message().substr(0, kMaxErrorBytes);
  payload.append(message.data(), message.size());
  return payload;
}

absl::Status DecodeError(absl::Span<const char> payload) {
  uint32_t code = 0;
  if (payload.size() < sizeof(code)) {
    return absl::UnknownError("the server's error could not be understood");
  }
  std::memcpy(&code, payload.data(), sizeof(code));
  if (code == 0 ||
      code > static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)) {
    code = static_cast<uint32_t>(absl::StatusCode::kUnknown);
  }
  const size_t length = std::min(payload.size() - sizeof(code), kMaxErrorBytes);
  return absl::Status(static_cast<absl::StatusCode>(code),
                      std::string(payload.data() + sizeof(code), length));
}

}  // namespace shmd
