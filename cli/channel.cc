#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "cli/channels.h"
#include "cli/format.h"
#include "cli/grants.h"
#include "cli/options.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct ChannelOptions {
  std::string name;
  ChannelSpec spec;
  GrantSpec grant;
  bool force = false;
};

void PrintChannel(const Channel& one) {
  printf("%s\n  %s, %u slots, %s of payload, history %u%s\n", one.name.c_str(),
         ChannelKindName(one.kind), one.slots,
         HumanSize(one.payload_bytes).c_str(), one.history,
         one.checksums ? ", checksums" : "");
  printf("  owner %s, group %s, mode %s, made %s\n",
         UserName(one.owner).c_str(), GroupName(one.group).c_str(),
         OctalMode(one.mode).c_str(), TimeText(one.create_time).c_str());
}

absl::Status Create(Context& context, const ChannelOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Channel made,
                   client->CreateChannel(options.name, options.spec));
  if (context.json) {
    printf("%s\n", ToText(ChannelToJson(made)).c_str());
  } else {
    PrintChannel(made);
  }
  return absl::OkStatus();
}

absl::Status Stat(Context& context, const ChannelOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Channel one, client->GetChannel(options.name));
  ASSIGN_OR_RETURN(const ChannelStats stats,
                   client->GetChannelStats(options.name));
  if (context.json) {
    nlohmann::ordered_json out = ChannelToJson(one);
    out.update(StatsToJson(stats));
    printf("%s\n", ToText(out).c_str());
  } else {
    PrintChannel(one);
    printf("\n%s", StatsText(stats).c_str());
  }
  return absl::OkStatus();
}

absl::Status Remove(Context& context, const ChannelOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  return client->DeleteChannel(options.name, options.force);
}

absl::StatusOr<GrantRole> ParseRole(const std::string& text) {
  for (const GrantRole role : {GrantRole::kPublisher, GrantRole::kSubscriber,
                               GrantRole::kClient, GrantRole::kServer}) {
    if (absl::EqualsIgnoreCase(text, GrantRoleName(role))) return role;
  }
  return absl::InvalidArgumentError(
      "is not publisher, subscriber, client or server");
}

absl::Status MakeGrant(Context& context, const ChannelOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const NewGrant made,
                   client->CreateChannelGrant(options.name, options.grant));
  PrintNewGrant(context, made);
  return absl::OkStatus();
}

absl::Status ListGrants(Context& context, const ChannelOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Grant> grants,
                   client->ListChannelGrants(options.name));
  PrintGrants(context, grants);
  return absl::OkStatus();
}

void AddGrantOptions(CLI::App& verb, GrantSpec* spec) {
  AddParsed(verb, "--as",
            "what it lets take part as: publisher or subscriber, or in a "
            "channel of calls client or server; may be repeated",
            ParseRole, [spec](GrantRole role) { spec->roles.push_back(role); })
      ->type_name("{publisher,subscriber,client,server}")
      ->required();
  AddGrantLimits(verb, spec);
}

}  // namespace

void AddChannel(CLI::App& app, Context& context) {
  CLI::App& verb =
      *app.add_subcommand("channel", "Create, show, share or remove a channel");
  verb.require_subcommand(1);
  const struct {
    const char* name;
    const char* description;
    absl::Status (*run)(Context&, const ChannelOptions&);
  } kActions[] = {
      {"create", "Create a channel", &Create},
      {"stat", "Show a channel and who takes part", &Stat},
      {"rm", "Remove a channel that nobody takes part in", &Remove},
      {"grant", "Print a handle that lets whoever has it take part",
       &MakeGrant},
      {"grants", "List a channel's grants", &ListGrants},
  };
  for (const auto& action : kActions) {
    auto options = std::make_shared<ChannelOptions>();
    CLI::App& one = *verb.add_subcommand(action.name, action.description);
    one.add_option("channel", options->name, "its name")->required();
    if (action.run == &Create) AddChannelSpecOptions(one, &options->spec);
    if (action.run == &MakeGrant) AddGrantOptions(one, &options->grant);
    if (action.run == &Remove) {
      one.add_flag("--force,-f", options->force, "although somebody does");
    }
    one.callback([options, run = action.run, &context] {
      context.status = run(context, *options);
    });
  }
}

}  // namespace shmd::cli
