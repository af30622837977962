#ifndef SHMD_CLI_PARSE_H_
#define SHMD_CLI_PARSE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shm/types.h"

namespace shmd::cli {

// What people type, as values. All fail with INVALID_ARGUMENT and a sentence
// that says what is wanted.

// "4096", "4k", "64MiB", "1G": k, M, G, T with or without iB are powers of
// 1024; kB, MB, GB, TB are powers of 1000.
absl::StatusOr<uint64_t> ParseSize(const std::string& text);

// "640" or "0640": octal.
absl::StatusOr<uint32_t> ParseMode(const std::string& text);

// "0x44": always with its 0x, so that nobody takes 44 for another number.
absl::StatusOr<uint32_t> ParseSysvKey(const std::string& text);

// "90" seconds, "90s", "15m", "2h30m", "250ms".
absl::StatusOr<absl::Duration> ParseTtl(const std::string& text);

// "key=value".
absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(
    const std::string& text);

// "memfd", "posix", "sysv", "mapped_file" or "file", in any case.
absl::StatusOr<BackendKind> ParseBackend(const std::string& text);

// "bind:0,1", "interleave:0,1", "preferred:0".
absl::StatusOr<NumaPolicy> ParseNuma(const std::string& text);

}  // namespace shmd::cli

#endif  // SHMD_CLI_PARSE_H_
