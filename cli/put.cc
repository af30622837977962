#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "client/cpp/file_transfer.h"

namespace shmd::cli {
namespace {

struct Options {
  std::string file;
  SegmentSpec spec;
  bool seal = false;
  bool quiet = false;
};

absl::Status Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  absl::StatusOr<Segment> segment;
  {
    ProgressBar bar;
    segment = PutFile(
        *client, options.file, options.spec, options.seal,
        [&bar](uint64_t done, uint64_t total) { bar.Update(done, total); });
  }
  RETURN_IF_ERROR(segment.status());
  PrintSegment(*segment, context.json, options.quiet);
  return absl::OkStatus();
}

}  // namespace

void AddPut(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = *app.add_subcommand("put", "Copy a file into a new segment");
  verb.add_option("file", options->file, "the file")->required();
  verb.add_option("id", options->spec.id,
                  "the segment's short name; default: its uid");
  AddSpecOptions(verb, &options->spec);
  verb.add_flag("--seal", options->seal, "make it immutable");
  verb.add_flag("--quiet,-q", options->quiet, "print the handle alone");
  verb.callback(
      [options, &context] { context.status = Run(context, *options); });
}

}  // namespace shmd::cli
