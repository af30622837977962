#ifndef SHMD_CLI_SESSIONS_H_
#define SHMD_CLI_SESSIONS_H_

#include <string>
#include <vector>

#include "client/cpp/session.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// How sessions look, for the verbs `sessions` and `top`.

// With the keys of the proto, as SegmentToJson.
nlohmann::ordered_json SessionToJson(const Session& session);

// A table with a header, one row for each.
std::string SessionTable(const std::vector<Session>& sessions);

}  // namespace shmd::cli

#endif  // SHMD_CLI_SESSIONS_H_
