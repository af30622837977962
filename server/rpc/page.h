#ifndef SHMD_SERVER_RPC_PAGE_H_
#define SHMD_SERVER_RPC_PAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/error.h"

namespace shmd {

// Pages of lists, as AIP-158 has them.

// How many a page may hold: 0 means 100, more than 1000 means 1000.
// PAGE_SIZE_INVALID (INVALID_ARGUMENT) when it is negative.
absl::StatusOr<size_t> PageLimit(int32_t page_size);

// The token of the page behind `last`, in the list that `query` asks for.
std::string MakePageToken(absl::string_view query, absl::string_view last);

// The `last` of a token that was made for the same `query`; PAGE_TOKEN_INVALID
// (INVALID_ARGUMENT) for any other.
absl::StatusOr<std::string> ReadPageToken(absl::string_view query,
                                          absl::string_view token);

Error PageTokenInvalid();

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_PAGE_H_
