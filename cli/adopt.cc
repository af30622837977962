#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

absl::Status RunAdopt(Context& context, const AdoptSpec& spec) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Segment segment, client->Adopt(spec));
  PrintSegment(segment, context.json, /*quiet=*/false);
  return absl::OkStatus();
}

}  // namespace

void AddAdopt(CLI::App& app, Context& context) {
  auto spec = std::make_shared<AdoptSpec>();
  AdoptSpec* const parsed = spec.get();
  CLI::App& verb = *app.add_subcommand(
      "adopt", "Take memory that another program made under management");
  verb.add_option("id", spec->id, "its short name; default: its uid");
  auto& which = *verb.add_option_group("object", "which memory");
  which
      .add_option_function<std::string>(
          "--posix_name",
          [parsed](const std::string& name) {
            parsed->backend = BackendKind::kPosix;
            parsed->posix_name = name;
          },
          "name of shm_open(3), with its slash")
      ->trigger_on_parse();
  AddParsed(which, "--sysv_key", "key of shmget(2), as 0x44", ParseSysvKey,
            [parsed](uint32_t key) {
              parsed->backend = BackendKind::kSysv;
              parsed->sysv_key = key;
            });
  which
      .add_option_function<int32_t>(
          "--sysv_id",
          [parsed](const int32_t& id) {
            parsed->backend = BackendKind::kSysv;
            parsed->sysv_id = id;
          },
          "shmid, as ipcs(1) tells it")
      ->trigger_on_parse();
  which
      .add_option_function<std::string>(
          "--file_path",
          [parsed](const std::string& path) {
            parsed->backend = BackendKind::kMappedFile;
            parsed->file_path = path;
          },
          "file below a root of the daemon")
      ->trigger_on_parse();
  which.require_option(1);
  AddLabelOption(verb, &parsed->labels);
  AddTtlOption(verb, "disowned, and its memory left as it is,", &parsed->ttl);
  verb.callback(
      [spec, &context] { context.status = RunAdopt(context, *spec); });
}

}  // namespace shmd::cli
