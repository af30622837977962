#ifndef SHMD_CLI_GRANTS_H_
#define SHMD_CLI_GRANTS_H_

#include <vector>

#include "CLI/CLI.hpp"
#include "cli/context.h"
#include "client/cpp/grant.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// --ttl, --uses and --uid. `spec` outlives `app`'s parse.
void AddGrantLimits(CLI::App& app, GrantSpec* spec);

// The handle with the secret; as JSON with all else.
void PrintNewGrant(const Context& context, const NewGrant& made);
// Without their secrets, which only their handles hold.
void PrintGrants(const Context& context, const std::vector<Grant>& grants);

}  // namespace shmd::cli

#endif  // SHMD_CLI_GRANTS_H_
