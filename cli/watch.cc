#include <cstdio>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/objects.h"
#include "cli/verbs.h"
#include "client/cpp/object_watch.h"

namespace shmd::cli {
namespace {

struct WatchVerbOptions {
  WatchOptions watch;
  bool objects = false;
  std::string id_prefix;
  uint64_t count = UINT64_MAX;
};

void PrintWatch(const WatchEvent& event, bool json) {
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

void PrintWatch(const ObjectWatchEvent& event, bool json) {
  const char* type = WatchEventTypeName(event.type);
  if (json) {
    nlohmann::ordered_json out;
    out["type"] = type;
    if (event.object.has_value()) out["object"] = ObjectToJson(*event.object);
    out["resume_token"] = event.resume_token;
    printf("%s\n", ToText(out, -1).c_str());
  } else if (event.object.has_value()) {
    printf("%s  %-8s  %s  %s\n", TimeText(absl::Now()).c_str(), type,
           event.object->id.c_str(),
           HumanSize(event.object->size_bytes).c_str());
  } else {
    printf("%s  %-8s\n", TimeText(absl::Now()).c_str(), type);
  }
  fflush(stdout);
}

absl::Status RunWatch(Context& context, const WatchVerbOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  uint64_t left = options.count;
  if (options.objects) {
    ObjectWatchOptions watch;
    watch.id_prefix = options.id_prefix;
    watch.resume_token = options.watch.resume_token;
    return client->WatchObjects(watch, [&](const ObjectWatchEvent& event) {
      PrintWatch(event, context.json);
      return --left > 0 && ferror(stdout) == 0;
    });
  }
  return client->Watch(options.watch, [&](const WatchEvent& event) {
    PrintWatch(event, context.json);
    // Ends as well once nobody reads any more.
    return --left > 0 && ferror(stdout) == 0;
  });
}

}  // namespace

void AddWatch(CLI::App& app, Context& context) {
  auto options = std::make_shared<WatchVerbOptions>();
  CLI::App& verb =
      *app.add_subcommand("watch", "Print what exists, then every change");
  CLI::Option* const filter =
      verb.add_option("--filter,-f", options->watch.filter,
                      "as `backend = MEMFD AND labels.team = \"blue\"`");
  CLI::Option* const objects = verb.add_flag(
      "--objects,--object", options->objects, "of objects, not of segments");
  objects->excludes(filter);
  verb.add_option("--prefix", options->id_prefix,
                  "only objects whose ids begin with this")
      ->needs(objects);
  verb.add_option("--resume_token", options->watch.resume_token,
                  "go on behind an event seen before (--json shows tokens)");
  verb.add_option("--count,-n", options->count, "end after this many events")
      ->check(CLI::PositiveNumber);
  verb.footer(
      "SYNCED says that all that exists has been printed: changes follow.");
  verb.callback(
      [options, &context] { context.status = RunWatch(context, *options); });
}

}  // namespace shmd::cli
