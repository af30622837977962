#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "cli/objects.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct RmOptions {
  std::vector<std::string> names;
  bool force = false;
  bool revoke_memory = false;
  bool objects = false;
};

// The daemon looks at all of a batch before it deletes any, and tells which one
// may not be deleted by its index. Without one, others may be gone.
absl::Status TellThatAllAreThere(const absl::Status& status) {
  const ErrorDetail detail = GetErrorDetail(status);
  if (detail.metadata.count("index") == 0) return status;
  const auto name = detail.metadata.find("name");
  std::string message(status.message());
  if (name != detail.metadata.end() &&
      !absl::StrContains(message, name->second)) {
    absl::StrAppend(&message, ": ", name->second);
  }
  absl::StrAppend(&message, "; nothing was deleted");
  return WithErrorDetail(absl::Status(status.code(), message), detail);
}

absl::Status RunRm(Context& context, const RmOptions& options) {
  if (options.objects) return RemoveObjects(context, options.names);
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  if (options.names.size() > 1) {
    return TellThatAllAreThere(
        client->BatchDelete(options.names, options.force));
  }
  DeleteOptions delete_options;
  delete_options.force = options.force;
  delete_options.revoke_memory = options.revoke_memory;
  return client->Delete(options.names.front(), delete_options);
}

}  // namespace

void AddRm(CLI::App& app, Context& context) {
  auto options = std::make_shared<RmOptions>();
  CLI::App& verb = *app.add_subcommand(
      "rm", "Delete segments: none unless all may be deleted");
  verb.add_option("segment", options->names, "their names")->required();
  verb.add_flag("--force", options->force, "although attached or adopted");
  verb.add_flag("--revoke_memory", options->revoke_memory,
                "take it away from those who have it mapped (one segment, "
                "created with --revocable)");
  verb.add_flag("--objects,--object", options->objects,
                "the names are those of objects; all that are there go");
  verb.callback([options, &context] {
    if (options->revoke_memory && options->names.size() > 1) {
      throw CLI::ValidationError("--revoke_memory",
                                 "takes one segment at a time");
    }
    context.status = RunRm(context, *options);
  });
}

}  // namespace shmd::cli
