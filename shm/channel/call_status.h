#ifndef SHMD_SHM_CHANNEL_CALL_STATUS_H_
#define SHMD_SHM_CHANNEL_CALL_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace shmd {

// SERVER_GONE.
absl::Status ServerGoneError(absl::string_view message);
// CUT_OFF, of one call.
absl::Status ResponseLostError();

// The payload of a response with kErrorResponse: the code (u32), and the
// message, cut after 4096 bytes.
std::string EncodeError(const absl::Status& error);
// What is none is UNKNOWN.
absl::Status DecodeError(absl::Span<const char> payload);

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CALL_STATUS_H_
