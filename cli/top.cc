#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/sessions.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct Options {
  bool once = false;
  double interval_seconds = 2;
  size_t limit = 15;
};

// What one refresh shows.
struct Picture {
  Node node;
  std::vector<Segment> segments;  // the largest first
  uint64_t resident_bytes = 0;
  uint64_t attachments = 0;
  // Absent with a daemon that knows no sessions.
  std::optional<std::vector<Session>> sessions;
};

uint64_t Resident(const Segment& segment) {
  return segment.status.has_value() ? segment.status->resident_bytes : 0;
}

uint64_t Attachments(const Segment& segment) {
  return segment.status.has_value() ? segment.status->attachment_count : 0;
}

absl::StatusOr<Picture> Take(Client& client) {
  Picture out;
  ASSIGN_OR_RETURN(out.node, client.GetNode());
  ASSIGN_OR_RETURN(out.segments, client.List());
  for (const Segment& segment : out.segments) {
    out.resident_bytes += Resident(segment);
    out.attachments += Attachments(segment);
  }
  std::sort(out.segments.begin(), out.segments.end(),
            [](const Segment& a, const Segment& b) {
              return std::make_tuple(b.size_bytes, Attachments(b), a.name) <
                     std::make_tuple(a.size_bytes, Attachments(a), b.name);
            });
  absl::StatusOr<std::vector<Session>> sessions = client.ListSessions();
  if (sessions.ok()) {
    std::sort(sessions->begin(), sessions->end(),
              [](const Session& a, const Session& b) {
                return a.held_bytes > b.held_bytes;
              });
    out.sessions = *std::move(sessions);
  } else if (!absl::IsUnimplemented(sessions.status())) {
    return sessions.status();
  }
  return out;
}

std::string Text(const Picture& picture, size_t limit) {
  const Node& node = picture.node;
  std::string out = absl::StrCat(
      "shmd ", Printable(node.version), "  ", TimeText(absl::Now()),
      "  segments ", node.segment_count, ", ", HumanSize(node.segment_bytes),
      " of ", HumanSize(node.budget_bytes), "\nmemory available ",
      HumanSize(node.memory_available_bytes), "  posix available ",
      HumanSize(node.posix_available_bytes));
  for (const Node::HugePagePool& pool : node.huge_page_pools) {
    absl::StrAppend(&out, "  pages of ", HumanSize(pool.page_size_bytes), " ",
                    pool.available_pages, "/", pool.total_pages);
  }
  absl::StrAppend(&out, "\nnamespace default  ", picture.segments.size(),
                  " segments to see, ", HumanSize(picture.resident_bytes),
                  " resident, ", picture.attachments, " attachments\n\n");
  std::vector<std::vector<std::string>> rows;
  for (const Segment& segment : picture.segments) {
    if (rows.size() == limit) break;
    rows.push_back({segment.id(), HumanSize(segment.size_bytes),
                    HumanSize(Resident(segment)), BackendName(segment.backend),
                    SegmentStateName(segment.state),
                    absl::StrCat(Attachments(segment)),
                    UserName(segment.owner)});
  }
  absl::StrAppend(&out, FormatTable({"SEGMENT", "SIZE", "RESIDENT", "BACKEND",
                                     "STATE", "ATTACHED", "OWNER"},
                                    rows, {1, 2, 5}));
  if (picture.sessions.has_value()) {
    std::vector<Session> shown = *picture.sessions;
    if (shown.size() > limit) shown.resize(limit);
    absl::StrAppend(&out, "\n", SessionTable(shown), picture.sessions->size(),
                    " sessions\n");
  }
  return out;
}

nlohmann::ordered_json ToJson(const Picture& picture, size_t limit) {
  nlohmann::ordered_json out;
  out["node"] = NodeToJson(picture.node);
  out["resident_bytes"] = picture.resident_bytes;
  out["attachment_count"] = picture.attachments;
  out["segments"] = nlohmann::ordered_json::array();
  for (const Segment& segment : picture.segments) {
    if (out["segments"].size() == limit) break;
    out["segments"].push_back(SegmentToJson(segment));
  }
  out["sessions"] = nlohmann::ordered_json::array();
  for (const Session& session :
       picture.sessions.value_or(std::vector<Session>())) {
    if (out["sessions"].size() == limit) break;
    out["sessions"].push_back(SessionToJson(session));
  }
  return out;
}

absl::Status Run(Context& context, const Options& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  for (;;) {
    ASSIGN_OR_RETURN(const Picture picture, Take(*client));
    if (context.json) {
      printf("%s\n",
             ToText(ToJson(picture, options.limit), options.once ? 2 : -1)
                 .c_str());
    } else {
      // Home, and what is below is cleared: no flicker.
      const bool screen = !options.once && isatty(STDOUT_FILENO) != 0;
      printf("%s%s%s", screen ? "\033[H\033[2J" : "",
             Text(picture, options.limit).c_str(), options.once ? "" : "\n");
    }
    fflush(stdout);
    // Ends as well once nobody reads any more.
    if (options.once || ferror(stdout) != 0) return absl::OkStatus();
    absl::SleepFor(absl::Seconds(options.interval_seconds));
  }
}

}  // namespace

void AddTop(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App& verb =
      *app.add_subcommand("top", "Show what takes the memory, again and again");
  verb.add_flag("--once", options->once, "show it once and end");
  verb.add_option("--interval,-i", options->interval_seconds,
                  "seconds between refreshes (2)")
      ->check(CLI::Range(0.1, 86400.0));
  verb.add_option("--limit,-n", options->limit,
                  "at most this many segments and sessions (15)");
  verb.callback(
      [options, &context] { context.status = Run(context, *options); });
}

}  // namespace shmd::cli
