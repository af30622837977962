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

absl::Status RunLs(Context& context, const LsOptions& options) {
  if (options.objects) return ListObjects(context, options.quiet);
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Segment> segments,
                   client->List(options.list));
  if (context.json) {
    nlohmann::ordered_json out;
    out["segments"] = nlohmann::ordered_json::array();
    for (const Segment& segment : segments) {
      out["segments"].push_back(SegmentToJson(segment));
    }
    printf("%s\n", ToText(out).c_str());
    return absl::OkStatus();
  }
  if (options.quiet) {
    for (const Segment& segment : segments) {
      printf("%s\n", segment.id().c_str());
    }
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  uint64_t total_bytes = 0;
  for (const Segment& segment : segments) {
    rows.push_back(LsRow(segment));
    total_bytes += segment.size_bytes;
  }
  printf("%s%zu segments, %s\n",
         FormatTable({"ID", "SIZE", "RESIDENT", "BACKEND", "STATE", "MODE",
                      "OWNER", "ATTACHED", "LABELS"},
                     rows, {1, 2, 7})
             .c_str(),
         segments.size(), HumanSize(total_bytes).c_str());
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
