#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"
#include "client/cpp/sync_calls.h"

// `shm sync create|ls|rm`.

namespace shmd::cli {
namespace {

struct SyncOptions {
  std::string name;
  std::string kind = "mutex";
  std::string mode;
  SyncPrimitiveSpec spec;
  bool allow_existing = false;
};

nlohmann::ordered_json PrimitiveToJson(const SyncPrimitive& primitive) {
  nlohmann::ordered_json out;
  out["name"] = primitive.name;
  out["kind"] = SyncKindName(primitive.spec.kind);
  out["initial_count"] = primitive.spec.initial_count;
  out["parties"] = primitive.spec.parties;
  out["automatic_reset"] = primitive.spec.automatic_reset;
  out["value_bytes"] = primitive.spec.value_bytes;
  out["mode"] = OctalMode(primitive.spec.mode);
  out["owner"] = primitive.owner;
  out["group"] = primitive.group;
  out["create_time"] = TimeText(primitive.create_time);
  if (!primitive.handle.empty()) out["handle"] = primitive.handle;
  return out;
}

absl::Status CreateOne(Context& context, SyncOptions options) {
  options.spec.kind = SyncKindNamed(absl::AsciiStrToUpper(options.kind));
  if (!options.mode.empty()) {
    ASSIGN_OR_RETURN(options.spec.mode, ParseMode(options.mode));
  }
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const SyncPrimitive made,
                   SyncCalls(client).Create(options.name, options.spec,
                                            options.allow_existing));
  if (context.json) {
    printf("%s\n", ToText(PrimitiveToJson(made)).c_str());
  } else {
    printf("%s\n%s\n", made.name.c_str(), made.handle.c_str());
  }
  return absl::OkStatus();
}

absl::Status ListAll(Context& context) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<SyncPrimitive> all,
                   SyncCalls(client).List());
  if (context.json) {
    nlohmann::ordered_json out;
    out["sync_primitives"] = nlohmann::ordered_json::array();
    for (const SyncPrimitive& one : all) {
      out["sync_primitives"].push_back(PrimitiveToJson(one));
    }
    printf("%s\n", ToText(out).c_str());
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const SyncPrimitive& one : all) {
    rows.push_back({one.id(), SyncKindName(one.spec.kind),
                    OctalMode(one.spec.mode), UserName(one.owner),
                    TimeText(one.create_time)});
  }
  printf("%s%zu primitives\n",
         FormatTable({"NAME", "KIND", "MODE", "OWNER", "CREATED"}, rows, {})
             .c_str(),
         all.size());
  return absl::OkStatus();
}

absl::Status RemoveOne(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  return SyncCalls(client).Delete(name);
}

void AddSyncCreate(CLI::App& app, Context& context) {
  auto options = std::make_shared<SyncOptions>();
  CLI::App& verb = *app.add_subcommand("create", "Make one");
  verb.add_option("name", options->name, "the last part of its name")
      ->required();
  verb.add_option("--kind", options->kind,
                  "mutex (the default), rw_lock, semaphore, event, barrier or "
                  "value")
      ->type_name("{mutex,rw_lock,semaphore,event,barrier,value}");
  verb.add_option("--count", options->spec.initial_count,
                  "of a semaphore; of an event 1: set at first");
  verb.add_option("--parties", options->spec.parties, "of a barrier");
  verb.add_flag("--automatic_reset", options->spec.automatic_reset,
                "of an event: each set lets one through");
  verb.add_option("--value_bytes", options->spec.value_bytes, "of a value");
  verb.add_option("--mode", options->mode, "who may use it, as in 660");
  verb.add_flag("--allow_existing", options->allow_existing,
                "one that is there already is as good");
  verb.callback(
      [options, &context] { context.status = CreateOne(context, *options); });
}

void AddSyncRm(CLI::App& app, Context& context) {
  auto name = std::make_shared<std::string>();
  CLI::App& verb =
      *app.add_subcommand("rm", "Delete one; who uses it already goes on");
  verb.add_option("name", *name, "its name")->required();
  verb.callback(
      [name, &context] { context.status = RemoveOne(context, *name); });
}

}  // namespace

void AddSync(CLI::App& app, Context& context) {
  CLI::App& verb = *app.add_subcommand(
      "sync", "Locks and the like that stand alone under a name");
  verb.require_subcommand(1);
  AddSyncCreate(verb, context);
  verb.add_subcommand("ls", "List them")->callback([&context] {
    context.status = ListAll(context);
  });
  AddSyncRm(verb, context);
}

}  // namespace shmd::cli
