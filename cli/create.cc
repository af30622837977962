#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct CreateOptions {
  SegmentSpec spec;
  bool quiet = false;
};

absl::Status RunCreate(Context& context, const CreateOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Segment segment, client->Create(options.spec));
  PrintSegment(segment, context.json, options.quiet);
  return absl::OkStatus();
}

}  // namespace

void AddCreate(CLI::App& app, Context& context) {
  auto options = std::make_shared<CreateOptions>();
  CLI::App& verb = *app.add_subcommand("create", "Create a segment");
  verb.add_option("id", options->spec.id, "its short name; default: its uid");
  AddSpecOptions(verb, &options->spec);
  verb.get_option("--size")->required();
  verb.add_flag("--quiet,-q", options->quiet, "print the handle alone");
  verb.callback(
      [options, &context] { context.status = RunCreate(context, *options); });
}

}  // namespace shmd::cli
