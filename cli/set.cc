#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct SetOptions {
  std::string name;
  std::map<std::string, std::string> labels;
  std::vector<std::string> unset_labels;
  SegmentUpdate update;
};

absl::Status RunSet(Context& context, const SetOptions& options) {
  SegmentUpdate update = options.update;
  for (const auto& [key, value] : options.labels) {
    update.label_changes[key] = value;
  }
  for (const std::string& key : options.unset_labels) {
    update.label_changes[key] = std::nullopt;
  }
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Segment segment, client->Update(options.name, update));
  PrintSegment(segment, context.json, /*quiet=*/false);
  return absl::OkStatus();
}

}  // namespace

void AddSet(CLI::App& app, Context& context) {
  auto options = std::make_shared<SetOptions>();
  SegmentUpdate* const update = &options->update;
  CLI::App& verb = *app.add_subcommand(
      "set", "Change labels, mode, owner, group or end of a segment");
  verb.add_option("segment", options->name, "its name")->required();
  auto& changes = *verb.add_option_group("changes", "what to change");
  AddLabelOption(changes, &options->labels);
  changes.add_option("--unset_label", options->unset_labels,
                     "KEY; may be repeated");
  AddParsed(changes, "--mode", "permission bits in octal", ParseMode,
            [update](uint32_t mode) { update->mode = mode; });
  changes.add_option("--owner", update->owner, "uid of the owner");
  changes.add_option("--group", update->group, "gid of the group");
  AddTtlOption(changes, "removed (if adopted: disowned) by itself",
               &update->ttl);
  changes.add_flag("--no_ttl", update->clear_expiration,
                   "it stays until deleted");
  changes.require_option();
  verb.callback(
      [options, &context] { context.status = RunSet(context, *options); });
}

}  // namespace shmd::cli
