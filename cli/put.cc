#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/interruption.h"
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
  bool is_object = false;
  ObjectOptions object;
  ObjectMetadata metadata;  // but for the labels
};

absl::Status RunObject(Context& context, const PutOptions& options) {
  PutObjectOptions put;
  put.file = options.file;
  put.id = options.spec.id;
  put.mode = options.spec.mode.value_or(0600);
  put.object = options.object;
  put.object.ttl = options.spec.ttl.value_or(absl::InfiniteDuration());
  put.object.metadata = options.metadata;
  put.object.metadata->labels = options.spec.labels;
  return PutObject(context, put);
}

absl::Status RunPut(Context& context, const PutOptions& options) {
  if (options.is_object) return RunObject(context, options);
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  absl::StatusOr<Segment> segment;
  {
    ProgressBar bar;
    // Half a file must not look like a finished segment.
    const Interruption interruption;
    segment = PutFile(*client, options.file, options.spec, options.seal,
                      [&](uint64_t done, uint64_t total) {
                        bar.Update(done, total);
                        return interruption.signal() == 0;
                      });
    context.signal = segment.ok() ? 0 : interruption.signal();
  }
  RETURN_IF_ERROR(segment.status());
  PrintSegment(*segment, context.json, options.quiet);
  return absl::OkStatus();
}

void AddObjectOptions(CLI::App& verb, CLI::Option* object,
                      PutOptions* options) {
  verb.add_flag("--replace", options->object.replace_existing,
                "in place of the object of that name")
      ->needs(object);
  verb.add_flag("--strict", options->object.strict,
                "have the kernel seal the object against everybody")
      ->needs(object);
  verb.add_option("--priority", options->object.priority,
                  "0 to 255: of objects that have to make room, the lowest go "
                  "first")
      ->needs(object);
  verb.add_option("--media-type", options->metadata.media_type,
                  "of the object, as image/png")
      ->needs(object);
  verb.add_option("--schema", options->metadata.schema,
                  "the name of the schema of what is inside")
      ->needs(object);
  verb.add_option("--dtype", options->metadata.dtype,
                  "the type of a tensor's elements, as float32")
      ->needs(object);
  verb.add_option("--shape", options->metadata.shape,
                  "a tensor's size in each dimension, as 3,224,224")
      ->delimiter(',')
      ->needs(object);
}

}  // namespace

void AddPut(CLI::App& app, Context& context) {
  auto options = std::make_shared<PutOptions>();
  CLI::App& verb = *app.add_subcommand("put", "Copy a file into a new segment");
  verb.add_option("file", options->file, "the file")
      ->required()
      ->check(NoStandardStream(
          "put reads no standard input, only files, whose size is known"));
  verb.add_option("id", options->spec.id,
                  "the segment's short name; default: its uid");
  AddSpecOptions(verb, &options->spec);
  verb.add_flag("--seal", options->seal, "make it immutable");
  verb.add_flag("--quiet,-q", options->quiet, "print the handle alone");
  CLI::Option* const object = verb.add_flag(
      "--object,--objects", options->is_object,
      "into an object of that name, which any program of the namespace that "
      "--mode lets in can get");
  AddObjectOptions(verb, object, options.get());
  verb.callback(
      [options, &context] { context.status = RunPut(context, *options); });
}

}  // namespace shmd::cli
