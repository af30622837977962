#include "base/status_macros.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct FlushOptions {
  std::string name;
  bool asynchronous = false;
  bool invalidate = false;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
};

absl::Status RunFlush(Context& context, const FlushOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  FlushMode mode = FlushMode::kSynchronous;
  if (options.asynchronous) mode = FlushMode::kAsynchronous;
  if (options.invalidate) mode = FlushMode::kInvalidate;
  return client->Flush(options.name, mode, options.offset_bytes,
                       options.length_bytes);
}

}  // namespace

void AddFlush(CLI::App& app, Context& context) {
  auto options = std::make_shared<FlushOptions>();
  CLI::App& verb = *app.add_subcommand(
      "flush", "Write a mapped_file segment to its storage");
  verb.add_option("segment", options->name, "its name")->required();
  auto* async = verb.add_flag("--async", options->asynchronous,
                              "start writing and return");
  verb.add_flag("--invalidate", options->invalidate,
                "other mappings of the file see the data")
      ->excludes(async);
  FlushOptions* const parsed = options.get();
  AddParsed(verb, "--offset", "start of the range", ParseSize,
            [parsed](uint64_t bytes) { parsed->offset_bytes = bytes; });
  AddParsed(verb, "--length", "length of the range; default: to the end",
            ParseSize,
            [parsed](uint64_t bytes) { parsed->length_bytes = bytes; });
  verb.callback(
      [options, &context] { context.status = RunFlush(context, *options); });
}

}  // namespace shmd::cli
