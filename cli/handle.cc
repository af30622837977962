#include <cstdio>

#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct HandleVerbOptions {
  std::string name;
  bool write = false;
  HandleOptions handle;
};

absl::Status RunHandle(Context& context, const HandleVerbOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  HandleOptions handle_options = options.handle;
  if (options.write) handle_options.access = Access::kReadWrite;
  ASSIGN_OR_RETURN(const std::string handle,
                   client->CreateHandle(options.name, handle_options));
  printf("%s\n",
         context.json ? ToText({{"handle", handle}}).c_str() : handle.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddHandle(CLI::App& app, Context& context) {
  auto options = std::make_shared<HandleVerbOptions>();
  HandleOptions* const parsed = &options->handle;
  CLI::App& verb = *app.add_subcommand(
      "handle", "Print a handle: read-only, of a range, with an end");
  verb.add_option("segment", options->name, "its name")->required();
  verb.add_flag("--write,-w", options->write, "one that may write");
  AddParsed(verb, "--offset", "start of the range", ParseSize,
            [parsed](uint64_t bytes) { parsed->offset_bytes = bytes; });
  AddParsed(verb, "--length", "length of the range; default: to the end",
            ParseSize,
            [parsed](uint64_t bytes) { parsed->length_bytes = bytes; });
  AddTtlOption(verb, "ends", &parsed->ttl);
  verb.callback(
      [options, &context] { context.status = RunHandle(context, *options); });
}

}  // namespace shmd::cli
