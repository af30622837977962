#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct ResizeOptions {
  std::string name;
  uint64_t size_bytes = 0;
};

absl::Status RunResize(Context& context, const ResizeOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Segment segment,
                   client->Resize(options.name, options.size_bytes));
  PrintSegment(segment, context.json, /*quiet=*/false);
  return absl::OkStatus();
}

}  // namespace

void AddResize(CLI::App& app, Context& context) {
  auto options = std::make_shared<ResizeOptions>();
  CLI::App& verb = *app.add_subcommand(
      "resize", "Change the size of a segment made with --resizable");
  verb.add_option("segment", options->name, "its name")->required();
  ResizeOptions* const parsed = options.get();
  AddParsed(verb, "size", "the new size: 4096, 4k, 64MiB, 1G", ParseSize,
            [parsed](uint64_t bytes) { parsed->size_bytes = bytes; })
      ->required();
  verb.callback(
      [options, &context] { context.status = RunResize(context, *options); });
}

}  // namespace shmd::cli
