#include "server/rpc/page.h"

#include <sodium.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr int32_t kDefaultPageSize = 100;
constexpr int32_t kMaxPageSize = 1000;
constexpr size_t kFingerprintBytes = 16;

std::string QueryFingerprint(absl::string_view query) {
  std::string hash(kFingerprintBytes, '\0');
  static_assert(kFingerprintBytes >= crypto_generichash_BYTES_MIN);
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(query.data()),
                     query.size(), nullptr, 0);
  return hash;
}

}  // namespace

Error PageTokenInvalid() {
  return InvalidField("page_token", reason::kPageTokenInvalid,
                      "is not one that this list gave");
}

absl::StatusOr<size_t> PageLimit(int32_t page_size) {
  if (page_size < 0) {
    return absl::StatusOr<size_t>(
        InvalidField("page_size", reason::kPageSizeInvalid, "is negative"));
  }
  return static_cast<size_t>(
      std::min(page_size == 0 ? kDefaultPageSize : page_size, kMaxPageSize));
}

std::string MakePageToken(absl::string_view query, absl::string_view last) {
  std::string token;
  absl::WebSafeBase64Escape(absl::StrCat(QueryFingerprint(query), last),
                            &token);
  return token;
}

absl::StatusOr<std::string> ReadPageToken(absl::string_view query,
                                          absl::string_view token) {
  std::string bytes;
  const std::string expected = QueryFingerprint(query);
  if (!absl::WebSafeBase64Unescape(token, &bytes) ||
      bytes.compare(0, expected.size(), expected) != 0) {
    return absl::StatusOr<std::string>(PageTokenInvalid());
  }
  return bytes.substr(expected.size());
}

}  // namespace shmd
