#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/interruption.h"
#include "cli/objects.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "client/cpp/file_transfer.h"

namespace shmd::cli {
namespace {

struct GetOptions {
  std::string segment;
  std::string file;
  bool object = false;
};

absl::Status RunGet(Context& context, const GetOptions& options) {
  if (options.object) {
    return GetObject(context, options.segment, options.file);
  }
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::string handle,
                   ResolveHandle(*client, options.segment));
  ProgressBar bar;
  // Its unfinished file would stay.
  const Interruption interruption;
  const absl::Status status = GetFile(*client, handle, options.file,
                                      [&](uint64_t done, uint64_t total) {
                                        bar.Update(done, total);
                                        return interruption.signal() == 0;
                                      });
  context.signal = status.ok() ? 0 : interruption.signal();
  return status;
}

}  // namespace

void AddGet(CLI::App& app, Context& context) {
  auto options = std::make_shared<GetOptions>();
  CLI::App& verb = *app.add_subcommand("get", "Copy a segment into a file");
  verb.add_option("segment", options->segment, "name or handle")->required();
  verb.add_option("file", options->file,
                  "the file; appears only once it is whole")
      ->required()
      ->check(NoStandardStream("`shm cat` writes to standard output"));
  verb.add_flag("--object,--objects", options->object,
                "the name is that of an object");
  verb.callback(
      [options, &context] { context.status = RunGet(context, *options); });
}

}  // namespace shmd::cli
