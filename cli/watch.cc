#include "client/cpp/watch.h"

#include <cstdio>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct Options {
  WatchOptions watch;
  uint64_t count = UINT64_MAX;
};

void Print(const WatchEvent& event, bool json) {
  const char* type = WatchEventTypeName(event.type);
  if (json) {
    nlohmann::ordered_json out;
    out["type"] = type;
    if (event.segment.has_value()) {
      out["segment"] = SegmentToJson(*event.segment);
    }
    out["resume_token"] = event.resume_token;
    printf("%s\n", ToText(out, -1).c_str());
  } else if (event.segment.has_value()) {
    printf("%s  %-8s  %s  %s  %s  %s\n", TimeText(absl::Now()).c_str(), type,
           event.segment->id().c_str(),
           HumanSize(event.segment->size_bytes).c_str(),
           BackendName(event.segment->backend),
           SegmentStateName(event.segment->state));
  } else {
    printf("%s  %-8s\n", TimeText(absl::Now()).c_str(), type);
  }
  // Who reads a pipe sees each event as it comes.
  fflush(stdout);
}

absl::Status Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  uint64_t left = options.count;
  return client->Watch(options.watch, [&](const WatchEvent& event) {
    Print(event, context.json);
    // Ends as well once nobody reads any more.
    return --left > 0 && ferror(stdout) == 0;
  });
}

}  // namespace

void AddWatch(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App& verb =
      *app.add_subcommand("watch", "Print what exists, then every change");
  verb.add_option("--filter,-f", options->watch.filter,
                  "as `backend = MEMFD AND labels.team = \"blue\"`");
  verb.add_option("--resume_token", options->watch.resume_token,
                  "go on behind an event seen before (--json shows tokens)");
  verb.add_option("--count,-n", options->count, "end after this many events")
      ->check(CLI::PositiveNumber);
  verb.callback(
      [options, &context] { context.status = Run(context, *options); });
}

}  // namespace shmd::cli
