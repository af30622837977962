#include <cstdio>

#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/grants.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct Options {
  std::string name;
  bool write = false;
  GrantSpec grant;
};

absl::Status Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  GrantSpec spec = options.grant;
  if (options.write) spec.access = Access::kReadWrite;
  ASSIGN_OR_RETURN(const NewGrant made,
                   client->CreateGrant(options.name, spec));
  if (context.json) {
    nlohmann::ordered_json out = GrantToJson(made.grant);
    out["handle"] = made.handle;
    printf("%s\n", ToText(out).c_str());
  } else {
    printf("%s\n", made.handle.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddGrant(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  GrantSpec* const spec = &options->grant;
  CLI::App& verb = *app.add_subcommand(
      "grant", "Print a handle that lets whoever has it attach");
  verb.add_option("segment", options->name, "its name")->required();
  verb.add_flag("--write,-w", options->write, "one that may write");
  AddParsed(verb, "--ttl", "ends after this long, as 90s or 2h", ParseTtl,
            [spec](absl::Duration duration) { spec->ttl = duration; });
  verb.add_option("--uses", spec->max_uses,
                  "how often it may be used; default: any number of times");
  verb.add_option("--uid", spec->uid, "the only user who may use it");
  verb.callback(
      [options, &context] { context.status = Run(context, *options); });
}

}  // namespace shmd::cli
