#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr char kPayloadUrl[] = "shmd/ErrorDetail";

// The payload is words with blanks between: the reason, @field if there is one,
// and key=value. It never leaves the process, but programs print it
// (absl::Status::ToString). Within a word %20 stands for a blank, and so on.
bool NeedsEscape(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '%' || c == '=' ||
         c == '@' || c == '\x7f';
}

void AppendWord(absl::string_view text, std::string* out) {
  for (const char c : text) {
    if (NeedsEscape(c)) {
      absl::StrAppend(
          out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out->push_back(c);
    }
  }
}

std::string Unescaped(absl::string_view word) {
  std::string out;
  for (size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '%' && i + 2 < word.size()) {
      out += absl::HexStringToBytes(word.substr(i + 1, 2));
      i += 2;
    } else {
      out.push_back(word[i]);
    }
  }
  return out;
}

std::string Encode(const ErrorDetail& detail) {
  std::string out;
  AppendWord(detail.reason, &out);
  if (!detail.field.empty()) {
    out += " @";
    AppendWord(detail.field, &out);
  }
  for (const auto& [key, value] : detail.metadata) {
    out.push_back(' ');
    AppendWord(key, &out);
    out.push_back('=');
    AppendWord(value, &out);
  }
  return out;
}

std::string WithoutNul(absl::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\0') c = '?';
  }
  return out;
}

absl::StatusCode CodeOfErrno(int error_number) {
  switch (error_number) {
    // Where absl::ErrnoToStatusCode has no entry or misleads.
    case EIDRM:
      return absl::StatusCode::kNotFound;
    case EBADF:
    case EIO:
      return absl::StatusCode::kInternal;
    case ENODEV:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    default:
      return absl::ErrnoToStatusCode(error_number);
  }
}

}  // namespace

Error::Error(absl::StatusCode code, absl::string_view reason,
             absl::string_view message)
    : code_(code), message_(message) {
  detail_.reason = std::string(reason);
}

Error& Error::With(absl::string_view key, absl::string_view value) {
  detail_.metadata[WithoutNul(key)] = WithoutNul(value);
  return *this;
}

Error& Error::InField(absl::string_view field) {
  detail_.field = WithoutNul(field);
  return *this;
}

absl::Status Error::ToStatus() const {
  return WithErrorDetail(absl::Status(code_, message_), detail_);
}

Error InvalidField(absl::string_view field, absl::string_view reason,
                   absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason,
               absl::StrCat(field, ": ", message))
      .InField(field);
}

Error Exhausted(absl::string_view reason, absl::string_view limit,
                uint64_t requested, uint64_t available,
                absl::string_view unit) {
  return Error(absl::StatusCode::kResourceExhausted, reason,
               absl::StrCat("asked for ", requested, " ", unit, ", but only ",
                            available, " are left of ", limit))
      .With("requested", requested)
      .With("available", available)
      .With("unit", unit)
      .With("limit", limit);
}

std::string Excerpt(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  // Bytes of the form 10xxxxxx continue a character (RFC 3629).
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
    --end;
  }
  return std::string(text.substr(0, end));
}

ErrorDetail GetErrorDetail(const absl::Status& status) {
  ErrorDetail detail;
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value()) return detail;
  const std::string words(*payload);
  bool is_first = true;
  for (const absl::string_view word : absl::StrSplit(words, ' ')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(word, absl::MaxSplits('=', 1));
    if (is_first) {
      detail.reason = Unescaped(word);
    } else if (absl::StartsWith(word, "@")) {
      detail.field = Unescaped(word.substr(1));
    } else {
      detail.metadata[Unescaped(parts.first)] = Unescaped(parts.second);
    }
    is_first = false;
  }
  return detail;
}

std::string GetErrorReason(const absl::Status& status) {
  return GetErrorDetail(status).reason;
}

absl::Status WithErrorDetail(absl::Status status, const ErrorDetail& detail) {
  status.SetPayload(kPayloadUrl, absl::Cord(Encode(detail)));
  return status;
}

absl::Status InFieldIf(absl::string_view reason, absl::string_view field,
                       absl::Status status) {
  ErrorDetail detail = GetErrorDetail(status);
  if (detail.reason != reason || !detail.field.empty()) return status;
  detail.field = std::string(field);
  return WithErrorDetail(std::move(status), detail);
}

absl::Status ErrnoStatus(int error_number, absl::string_view call) {
  absl::StatusCode code = CodeOfErrno(error_number);
  if (code == absl::StatusCode::kOk || code == absl::StatusCode::kUnknown) {
    code = absl::StatusCode::kInternal;
  }
  // Whichever call it was: a disk, or what stands for one, has failed.
  const char* const why =
      error_number == EIO ? reason::kStorageFailed : reason::kKernelRefused;
  return Error(code, why, absl::StrCat(call, ": ", strerror(error_number)))
      .With("call", call)
      .With("errno", error_number);
}

}  // namespace shmd
