#ifndef SHMD_TESTS_FUZZ_REQUEST_PARSERS_H_
#define SHMD_TESTS_FUZZ_REQUEST_PARSERS_H_

#include <cstddef>
#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace shmd {

// Gives bytes to one of the parsers of requests, and ends the program where
// what they let through does not keep to the limits.
void ParseRequest(size_t parser, absl::string_view bytes);

// The full names of all messages that the parsers parse.
std::set<std::string> KnownRequests();

}  // namespace shmd

#endif  // SHMD_TESTS_FUZZ_REQUEST_PARSERS_H_
