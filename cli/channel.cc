#include <cstdio>

#include "base/status_macros.h"
#include "cli/channels.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct Options {
  std::string name;
  ChannelSpec spec;
  bool force = false;
};

void Print(const Channel& one) {
  printf("%s\n  %s, %u slots, %s of payload, history %u%s\n", one.name.c_str(),
         ChannelKindName(one.kind), one.slots,
         HumanSize(one.payload_bytes).c_str(), one.history,
         one.checksums ? ", checksums" : "");
  printf("  owner %s, group %s, mode %s, made %s\n",
         UserName(one.owner).c_str(), GroupName(one.group).c_str(),
         OctalMode(one.mode).c_str(), TimeText(one.create_time).c_str());
}

absl::Status Create(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Channel made,
                   client->CreateChannel(options.name, options.spec));
  if (context.json) {
    printf("%s\n", ToText(ChannelToJson(made)).c_str());
  } else {
    Print(made);
  }
  return absl::OkStatus();
}

absl::Status Stat(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Channel one, client->GetChannel(options.name));
  ASSIGN_OR_RETURN(const ChannelStats stats,
                   client->GetChannelStats(options.name));
  if (context.json) {
    nlohmann::ordered_json out = ChannelToJson(one);
    out.update(StatsToJson(stats));
    printf("%s\n", ToText(out).c_str());
  } else {
    Print(one);
    printf("\n%s", StatsText(stats).c_str());
  }
  return absl::OkStatus();
}

absl::Status Remove(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  return client->DeleteChannel(options.name, options.force);
}

}  // namespace

void AddChannel(CLI::App& app, Context& context) {
  CLI::App& verb =
      *app.add_subcommand("channel", "Create, show or remove a channel");
  verb.require_subcommand(1);
  const struct {
    const char* name;
    const char* description;
    absl::Status (*run)(Context&, const Options&);
  } kActions[] = {
      {"create", "Create a channel", &Create},
      {"stat", "Show a channel and who takes part", &Stat},
      {"rm", "Remove a channel that nobody takes part in", &Remove},
  };
  for (const auto& action : kActions) {
    auto options = std::make_shared<Options>();
    CLI::App& one = *verb.add_subcommand(action.name, action.description);
    one.add_option("channel", options->name, "its name")->required();
    if (action.run == &Create) AddChannelSpecOptions(one, &options->spec);
    if (action.run == &Remove) {
      one.add_flag("--force,-f", options->force, "although somebody does");
    }
    one.callback([options, run = action.run, &context] {
      context.status = run(context, *options);
    });
  }
}

}  // namespace shmd::cli
