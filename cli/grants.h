#ifndef SHMD_CLI_GRANTS_H_
#define SHMD_CLI_GRANTS_H_

#include "client/cpp/grant.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// As the API names it; without its secret, which only its handle holds.
nlohmann::ordered_json GrantToJson(const Grant& grant);

}  // namespace shmd::cli

#endif  // SHMD_CLI_GRANTS_H_
