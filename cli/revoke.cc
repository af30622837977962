#include "base/status_macros.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

absl::Status RunRevoke(Context& context, const std::string& grant) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  return client->DeleteGrant(grant);
}

}  // namespace

void AddRevoke(CLI::App& app, Context& context) {
  auto grant = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand(
      "revoke", "End a grant: nobody attaches or joins by it any more");
  verb.add_option(
          "grant", *grant,
          "its full name, as `shm grants` and `shm channel grants` print it")
      ->required();
  verb.callback(
      [grant, &context] { context.status = RunRevoke(context, *grant); });
}

}  // namespace shmd::cli
