#include <cstdio>

#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct RenewOptions {
  std::string name;
  std::optional<absl::Duration> ttl;
};

absl::Status RunRenew(Context& context, const RenewOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Segment segment,
                   client->RenewLease(options.name, options.ttl));
  if (context.json) {
    PrintSegment(segment, /*json=*/true, /*quiet=*/false);
  } else {
    printf(
        "%s\n  ends %s\n", segment.name.c_str(),
        TimeText(segment.expire_time.value_or(absl::InfiniteFuture())).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddRenew(CLI::App& app, Context& context) {
  auto options = std::make_shared<RenewOptions>();
  std::optional<absl::Duration>* const ttl = &options->ttl;
  CLI::App& verb = *app.add_subcommand("renew", "Put the end of a segment off");
  verb.add_option("segment", options->name, "its name")->required();
  AddParsed(verb, "--ttl",
            "from now, as 90s or 2h; default: what it was created with",
            ParseTtl, [ttl](absl::Duration duration) { *ttl = duration; });
  verb.callback(
      [options, &context] { context.status = RunRenew(context, *options); });
}

}  // namespace shmd::cli
