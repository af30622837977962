#include "base/status_macros.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

absl::Status RunDisown(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  return client->Disown(name);
}

}  // namespace

void AddDisown(CLI::App& app, Context& context) {
  auto name = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand(
      "disown", "Forget a segment and leave its memory as it is");
  verb.add_option("segment", *name, "its name")->required();
  verb.callback(
      [name, &context] { context.status = RunDisown(context, *name); });
}

}  // namespace shmd::cli
