#ifndef SHMD_CLI_CHANNELS_H_
#define SHMD_CLI_CHANNELS_H_

#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cli/context.h"
#include "client/cpp/channel.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// What the verbs of channels share.

// The options that say what to create. `spec` outlives `app`'s parse.
void AddChannelSpecOptions(CLI::App& app, ChannelSpec* spec);

// --grant, of those who take part.
void AddGrantOption(CLI::App& app, std::string* grant);

// The channel as it is; made by `spec` when there is none.
absl::StatusOr<Channel> FindOrCreateChannel(Client& client,
                                            const std::string& name,
                                            const ChannelSpec& spec);

nlohmann::ordered_json ChannelToJson(const Channel& channel);
nlohmann::ordered_json StatsToJson(const ChannelStats& stats);

// Who takes part, in two tables.
std::string StatsText(const ChannelStats& stats);

}  // namespace shmd::cli

#endif  // SHMD_CLI_CHANNELS_H_
