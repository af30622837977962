#include "cli/parse.h"

#include <cstdlib>
#include <map>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace shmd::cli {
namespace {

absl::Status Invalid(const std::string& text, const char* wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("`", text, "` is not ", wanted));
}

// Digits of `base` alone: no sign, no blank, no rest.
bool ParseDigits(const std::string& text, int base, uint64_t* value) {
  if (text.empty()) return false;
  const std::string allowed = std::string("0123456789abcdef").substr(0, base);
  const std::string lower = absl::AsciiStrToLower(text);
  if (lower.find_first_not_of(allowed) != std::string::npos) return false;
  errno = 0;
  *value = strtoull(text.c_str(), nullptr, base);
  return errno == 0;
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(const std::string& text) {
  constexpr char kWanted[] = "a size, as 4096, 4k, 64MiB or 1G";
  static const auto* const units = new std::map<std::string, uint64_t>{
      {"", 1},
      {"b", 1},
      {"k", uint64_t{1} << 10},
      {"m", uint64_t{1} << 20},
      {"g", uint64_t{1} << 30},
      {"t", uint64_t{1} << 40},
      {"kib", uint64_t{1} << 10},
      {"mib", uint64_t{1} << 20},
      {"gib", uint64_t{1} << 30},
      {"tib", uint64_t{1} << 40},
      {"kb", 1000},
      {"mb", 1000000},
      {"gb", 1000000000},
      {"tb", 1000000000000},
  };
  const size_t end = text.find_first_not_of("0123456789");
  const std::string digits = text.substr(0, end);
  const std::string unit =
      end == std::string::npos ? "" : absl::AsciiStrToLower(text.substr(end));
  uint64_t number = 0;
  const auto found = units->find(unit);
  if (found == units->end() || !ParseDigits(digits, 10, &number)) {
    return Invalid(text, kWanted);
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(number, found->second, &bytes)) {
    return Invalid(text, "a size below 2^64 bytes");
  }
  return bytes;
}

absl::StatusOr<uint32_t> ParseMode(const std::string& text) {
  uint64_t mode = 0;
  if (!ParseDigits(text, 8, &mode) || mode > 07777) {
    return Invalid(text, "an octal mode, as 640");
  }
  return static_cast<uint32_t>(mode);
}

absl::StatusOr<uint32_t> ParseSysvKey(const std::string& text) {
  uint64_t key = 0;
  if (!absl::StartsWithIgnoreCase(text, "0x") ||
      !ParseDigits(text.substr(2), 16, &key) || key > UINT32_MAX) {
    return Invalid(text, "a key in hexadecimal, as 0x44");
  }
  return static_cast<uint32_t>(key);
}

absl::StatusOr<absl::Duration> ParseTtl(const std::string& text) {
  uint64_t seconds = 0;
  absl::Duration duration;
  if (ParseDigits(text, 10, &seconds) && seconds < UINT32_MAX) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return Invalid(text, "a duration, as 90s, 15m or 2h30m");
  }
  if (duration <= absl::ZeroDuration()) {
    return Invalid(text, "a duration above 0");
  }
  return duration;
}

absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(
    const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Invalid(text, "a label, as key=value");
  }
  return std::make_pair(text.substr(0, equals), text.substr(equals + 1));
}

absl::StatusOr<BackendKind> ParseBackend(const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(text);
  if (lower == "file") return BackendKind::kMappedFile;
  for (const BackendKind kind :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kSysv,
        BackendKind::kMappedFile}) {
    if (lower == absl::AsciiStrToLower(BackendName(kind))) return kind;
  }
  return Invalid(text, "a backend: memfd, posix, sysv or mapped_file");
}

absl::StatusOr<NumaPolicy> ParseNuma(const std::string& text) {
  constexpr char kWanted[] =
      "a memory policy, as bind:0, interleave:0,1 or preferred:1";
  static const auto* const modes = new std::map<std::string, NumaMode>{
      {"bind", NumaMode::kBind},
      {"interleave", NumaMode::kInterleave},
      {"preferred", NumaMode::kPreferred},
  };
  const size_t colon = text.find(':');
  const auto mode = modes->find(text.substr(0, colon));
  if (colon == std::string::npos || mode == modes->end()) {
    return Invalid(text, kWanted);
  }
  NumaPolicy policy;
  policy.mode = mode->second;
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(text.substr(colon + 1), ','))) {
    uint64_t node = 0;
    if (!ParseDigits(word, 10, &node) || node > UINT32_MAX) {
      return Invalid(text, kWanted);
    }
    policy.nodes.push_back(static_cast<uint32_t>(node));
  }
  return policy;
}

}  // namespace shmd::cli
