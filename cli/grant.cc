#include "base/status_macros.h"
#include "cli/grants.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct GrantOptions {
  std::string name;
  bool write = false;
  GrantSpec grant;
};

absl::Status RunGrant(Context& context, const GrantOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  GrantSpec spec = options.grant;
  if (options.write) spec.access = Access::kReadWrite;
  ASSIGN_OR_RETURN(const NewGrant made,
                   client->CreateGrant(options.name, spec));
  PrintNewGrant(context, made);
  return absl::OkStatus();
}

}  // namespace

void AddGrant(CLI::App& app, Context& context) {
  auto options = std::make_shared<GrantOptions>();
  CLI::App& verb = *app.add_subcommand(
      "grant", "Print a handle that lets whoever has it attach");
  verb.add_option("segment", options->name, "its name")->required();
  verb.add_flag("--write,-w", options->write, "one that may write");
  AddGrantLimits(verb, &options->grant);
  verb.callback(
      [options, &context] { context.status = RunGrant(context, *options); });
}

}  // namespace shmd::cli
