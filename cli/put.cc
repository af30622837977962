#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/objects.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "client/cpp/file_transfer.h"

namespace shmd::cli {
namespace {

struct PutOptions {
  std::string file;
  SegmentSpec spec;
  bool seal = false;
  bool quiet = false;
  bool object = false;
  bool replace = false;
  bool strict = false;
};

absl::Status RunObject(Context& context, const PutOptions& options) {
  PutObjectOptions object;
  object.file = options.file;
  object.id = options.spec.id;
  object.mode = options.spec.mode.value_or(0600);
  object.replace = options.replace;
  object.strict = options.strict;
  return PutObject(context, object);
}

absl::Status RunPut(Context& context, const PutOptions& options) {
  if (options.object) return RunObject(context, options);
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
  auto options = std::make_shared<PutOptions>();
  CLI::App& verb = *app.add_subcommand("put", "Copy a file into a new segment");
  verb.add_option("file", options->file, "the file")->required();
  verb.add_option("id", options->spec.id,
                  "the segment's short name; default: its uid");
  AddSpecOptions(verb, &options->spec);
  verb.add_flag("--seal", options->seal, "make it immutable");
  verb.add_flag("--quiet,-q", options->quiet, "print the handle alone");
  CLI::Option* const object = verb.add_flag(
      "--object,--objects", options->object,
      "into an object of that name, which any program of the namespace that "
      "--mode lets in can get");
  verb.add_flag("--replace", options->replace,
                "in place of the object of that name")
      ->needs(object);
  verb.add_flag("--strict", options->strict,
                "have the kernel seal the object against everybody")
      ->needs(object);
  verb.callback(
      [options, &context] { context.status = RunPut(context, *options); });
}

}  // namespace shmd::cli
