#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

void Line(const std::string& key, const std::string& value) {
  printf("%-18s %s\n", key.c_str(), value.c_str());
}

absl::Status RunNode(Context& context) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Node node, client->GetNode());
  if (context.json) {
    printf("%s\n", ToText(NodeToJson(node)).c_str());
    return absl::OkStatus();
  }
  Line("daemon", absl::StrCat("shmd ", Printable(node.version), " in ",
                              client->socket_dir()));
  Line("running since", TimeText(node.start_time));
  Line("segments",
       absl::StrCat(node.segment_count, ", ", HumanSize(node.segment_bytes),
                    " of ", HumanSize(node.budget_bytes)));
  Line("memory available", HumanSize(node.memory_available_bytes));
  if (node.cgroup_available_bytes.has_value()) {
    Line("cgroup available", HumanSize(*node.cgroup_available_bytes));
  }
  Line("posix available", HumanSize(node.posix_available_bytes));
  for (const Node::HugePagePool& pool : node.huge_page_pools) {
    Line(
        absl::StrCat("pages of ", HumanSize(pool.page_size_bytes)),
        absl::StrCat(pool.available_pages, " available of ", pool.total_pages));
  }
  return absl::OkStatus();
}

}  // namespace

void AddNode(CLI::App& app, Context& context) {
  CLI::App& verb = *app.add_subcommand(
      "node", "Show the daemon and what its host can still give");
  verb.callback([&context] { context.status = RunNode(context); });
}

}  // namespace shmd::cli
