#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/host_checks.h"
#include "cli/orphans.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

void Append(std::vector<Check> more, std::vector<Check>& checks) {
  for (Check& check : more) checks.push_back(std::move(check));
}

// Everything that needs the daemon.
absl::Status AskDaemon(Context& context, std::vector<Check>& checks,
                       std::vector<Orphan>& orphans) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Node node, client->GetNode());
  checks.push_back(
      {"daemon",
       absl::StrCat("shmd ", node.version, " in ", client->socket_dir(),
                    " since ", TimeText(node.start_time)),
       ""});
  Append(CheckSockets(client->socket_dir()), checks);
  Append(CheckProcessLimits(ReadDaemonLimits(client->socket_dir())), checks);
  Append(CheckNode(node), checks);
  ASSIGN_OR_RETURN(orphans, client->ListOrphans());
  checks.push_back(
      {"orphans",
       absl::StrCat(orphans.size(), ", ", HumanSize(ResidentBytes(orphans)),
                    " of memory"),
       orphans.empty() ? "" : "look at them below, and remove them: `shm gc`"});
  return absl::OkStatus();
}

nlohmann::ordered_json ToJson(const std::vector<Check>& checks,
                              const std::vector<Orphan>& orphans) {
  nlohmann::ordered_json out;
  out["checks"] = nlohmann::ordered_json::array();
  for (const Check& check : checks) {
    out["checks"].push_back({{"subject", check.subject},
                             {"ok", check.advice.empty()},
                             {"finding", check.finding},
                             {"advice", check.advice}});
  }
  out["orphans"] = nlohmann::ordered_json::array();
  for (const Orphan& orphan : orphans) {
    out["orphans"].push_back(OrphanToJson(orphan));
  }
  out["orphan_bytes"] = ResidentBytes(orphans);
  return out;
}

void PrintDoctor(const std::vector<Check>& checks,
                 const std::vector<Orphan>& orphans) {
  for (const Check& check : checks) {
    printf("%-5s %s: %s\n", check.advice.empty() ? "OK" : "LOOK",
           check.subject.c_str(), Printable(check.finding).c_str());
    if (!check.advice.empty()) {
      printf("      -> %s\n", Printable(check.advice).c_str());
    }
  }
  if (!orphans.empty()) printf("\n");
  for (const Orphan& orphan : orphans) PrintOrphan(orphan);
}

absl::Status RunDoctor(Context& context) {
  std::vector<Check> checks;
  std::vector<Orphan> orphans;
  // What can be seen without a daemon is shown all the same.
  const absl::Status status = AskDaemon(context, checks, orphans);
  if (!status.ok()) {
    checks.push_back({"daemon", std::string(status.message()),
                      "without it nothing is known of segments and orphans"});
  }
  Append(CheckHost(), checks);
  if (context.json) {
    printf("%s\n", ToText(ToJson(checks, orphans)).c_str());
  } else {
    PrintDoctor(checks, orphans);
  }
  return status;
}

}  // namespace

void AddDoctor(CLI::App& app, Context& context) {
  CLI::App& verb = *app.add_subcommand(
      "doctor", "Look for leaked memory and for limits that are too low");
  verb.callback([&context] { context.status = RunDoctor(context); });
}

}  // namespace shmd::cli
