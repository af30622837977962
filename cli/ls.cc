#include <cstdint>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/objects.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct LsOptions {
  ListOptions list;
  bool quiet = false;
  bool objects = false;
};

std::vector<std::string> LsRow(const Segment& segment) {
  return {
      segment.id(),
      HumanSize(segment.size_bytes),
      segment.status.has_value() ? HumanSize(segment.status->resident_bytes)
                                 : "-",
      BackendName(segment.backend),
      SegmentStateName(segment.state),
      OctalMode(segment.mode),
      absl::StrCat(UserName(segment.owner), ":", GroupName(segment.group)),
      segment.status.has_value()
          ? absl::StrCat(segment.status->attachment_count)
          : "-",
      Printable(absl::StrJoin(segment.labels, ",", absl::PairFormatter("="))),
  };
}

void PrintAsJson(const std::vector<Segment>& segments) {
  nlohmann::ordered_json out;
  out["segments"] = nlohmann::ordered_json::array();
  for (const Segment& segment : segments) {
    out["segments"].push_back(SegmentToJson(segment));
  }
  printf("%s\n", ToText(out).c_str());
}

void PrintAsTable(const std::vector<Segment>& segments, bool are_all) {
  std::vector<std::vector<std::string>> rows;
  uint64_t total_bytes = 0;
  for (const Segment& segment : segments) {
    rows.push_back(LsRow(segment));
    total_bytes += segment.size_bytes;
  }
  printf("%s%s, %s%s\n",
         FormatTable({"ID", "SIZE", "RESIDENT", "BACKEND", "STATE", "MODE",
                      "OWNER", "ATTACHED", "LABELS"},
                     rows, {1, 2, 7})
             .c_str(),
         Counted(segments.size(), "segment").c_str(),
         HumanSize(total_bytes).c_str(),
         are_all ? "" : "; there are more than --limit");
}

absl::Status RunLs(Context& context, const LsOptions& options) {
  if (options.objects) return ListObjects(context, options.quiet);
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ListOptions list = options.list;
  // One more than is shown tells whether there are more.
  if (list.limit < SIZE_MAX) ++list.limit;
  ASSIGN_OR_RETURN(std::vector<Segment> segments, client->List(list));
  const bool are_all = segments.size() <= options.list.limit;
  if (!are_all) segments.pop_back();
  if (context.json) {
    PrintAsJson(segments);
  } else if (options.quiet) {
    for (const Segment& segment : segments) {
      printf("%s\n", segment.id().c_str());
    }
  } else {
    PrintAsTable(segments, are_all);
  }
  return absl::OkStatus();
}

}  // namespace

void AddLs(CLI::App& app, Context& context) {
  auto options = std::make_shared<LsOptions>();
  CLI::App& verb = *app.add_subcommand("ls", "List segments");
  verb.add_option("--filter,-f", options->list.filter,
                  "as `backend = MEMFD AND labels.team = \"blue\"`");
  verb.add_option("--limit,-n", options->list.limit, "at most this many");
  verb.add_flag("--quiet,-q", options->quiet, "print the short names alone");
  verb.add_flag("--objects,--object", options->objects,
                "the namespace's objects instead");
  verb.callback(
      [options, &context] { context.status = RunLs(context, *options); });
}

}  // namespace shmd::cli
