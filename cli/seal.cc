#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct SealOptions {
  std::string name;
  bool new_writers = false;
};

absl::Status RunSeal(Context& context, const SealOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(
      const Segment segment,
      client->Seal(options.name, options.new_writers ? SealExtent::kNewWriters
                                                     : SealExtent::kAllWrites));
  PrintSegment(segment, context.json, /*quiet=*/false);
  return absl::OkStatus();
}

}  // namespace

void AddSeal(CLI::App& app, Context& context) {
  auto options = std::make_shared<SealOptions>();
  CLI::App& verb =
      *app.add_subcommand("seal", "End all writing to a segment, for good");
  verb.add_option("segment", options->name, "its name")->required();
  verb.add_flag("--new_writers", options->new_writers,
                "only new writers: who has it mapped writable goes on");
  verb.callback(
      [options, &context] { context.status = RunSeal(context, *options); });
}

}  // namespace shmd::cli
