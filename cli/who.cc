#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

nlohmann::ordered_json ToJson(const SegmentUsers& found) {
  nlohmann::ordered_json out;
  out["users"] = nlohmann::ordered_json::array();
  for (const SegmentUser& user : found.users) {
    nlohmann::ordered_json one;
    one["pid"] = user.pid;
    one["uid"] = user.uid;
    one["command"] = user.command;
    one["container"] = user.container;
    one["mapped_bytes"] = user.mapped_bytes;
    one["writable"] = user.writable;
    one["session"] = user.session;
    out["users"].push_back(std::move(one));
  }
  out["hidden_processes"] = found.hidden_processes;
  return out;
}

absl::Status RunWho(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const SegmentUsers found, client->ListSegmentUsers(name));
  if (context.json) {
    printf("%s\n", ToText(ToJson(found)).c_str());
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const SegmentUser& user : found.users) {
    rows.push_back({absl::StrCat(user.pid), UserName(user.uid),
                    Printable(user.command), HumanSize(user.mapped_bytes),
                    user.writable ? "write" : "read", Printable(user.container),
                    user.session.substr(user.session.rfind('/') + 1)});
  }
  printf("%s%zu processes have it mapped\n",
         FormatTable({"PID", "USER", "COMMAND", "MAPPED", "ACCESS", "CONTAINER",
                      "SESSION"},
                     rows, {0, 3})
             .c_str(),
         rows.size());
  if (found.hidden_processes > 0) {
    printf("%llu more could not be looked into\n",
           static_cast<unsigned long long>(found.hidden_processes));
  }
  return absl::OkStatus();
}

}  // namespace

void AddWho(CLI::App& app, Context& context) {
  auto name = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand(
      "who", "List the processes that have a segment mapped");
  verb.add_option("segment", *name, "its name")->required();
  verb.callback([name, &context] { context.status = RunWho(context, *name); });
}

}  // namespace shmd::cli
