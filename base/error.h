#ifndef SHMD_BASE_ERROR_H_
#define SHMD_BASE_ERROR_H_

#include <cstdint>
#include <map>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace shmd {

// What a program can act upon in an error: the parts of google.rpc.ErrorInfo
// and BadRequest, without protobuf.
struct ErrorDetail {
  std::string reason;                           // one of base/error_reason.h
  std::map<std::string, std::string> metadata;  // every changing part
  std::string field;                            // the field that is wrong
};

// Builds an absl::Status that carries an ErrorDetail:
//
//   return Error(absl::StatusCode::kNotFound, reason::kSegmentNotFound,
//                "there is no such segment").With("name", name);
//
// Converts to absl::Status and absl::StatusOr. Not thread-safe.
class Error {
 public:
  Error(absl::StatusCode code, absl::string_view reason,
        absl::string_view message);

  // Adds metadata; values are also what the message speaks of.
  Error& With(absl::string_view key, absl::string_view value);
  template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>>
  Error& With(absl::string_view key, T value) {
    return With(key, absl::string_view(std::to_string(value)));
  }

  // Names the request's field that is wrong.
  Error& InField(absl::string_view field);

  absl::Status ToStatus() const;
  operator absl::Status() const { return ToStatus(); }  // NOLINT

 private:
  absl::StatusCode code_;
  std::string message_;
  ErrorDetail detail_;
};

// INVALID_ARGUMENT with `reason`, naming `field`.
Error InvalidField(absl::string_view field, absl::string_view reason,
                   absl::string_view message);

// RESOURCE_EXHAUSTED with what was asked, what is left, and which limit. The
// metadata keys are `requested`, `available`, `unit` (bytes, pages, segments,
// descriptors) and `limit`; the message says all four in words.
Error Exhausted(absl::string_view reason, absl::string_view limit,
                uint64_t requested, uint64_t available,
                absl::string_view unit = "bytes");

// The first `max_bytes` of UTF-8 text, less a character that would be cut: for
// metadata that quotes what a caller sent.
std::string Excerpt(absl::string_view text, size_t max_bytes);

// The detail of `status`; with an empty reason where it has none.
ErrorDetail GetErrorDetail(const absl::Status& status);

// GetErrorDetail(status).reason.
std::string GetErrorReason(const absl::Status& status);

// `status` with `detail` in place of the one that it carries. No effect on OK.
absl::Status WithErrorDetail(absl::Status status, const ErrorDetail& detail);

// `status`, which names `field` if its reason is that one and it names no field
// yet: for what finds out far from the request which of its fields is wrong.
absl::Status InFieldIf(absl::string_view reason, absl::string_view field,
                       absl::Status status);

// The one place where an errno that no table foresaw becomes a status:
// `call` is the system call's name. Adds metadata `call` and `errno`.
absl::Status ErrnoStatus(int error_number, absl::string_view call);

}  // namespace shmd

#endif  // SHMD_BASE_ERROR_H_
