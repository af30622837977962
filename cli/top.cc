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

struct TopOptions {
  std::string name_space;  // empty: all that the caller may enter
  bool once = false;
  double interval_seconds = 2;
  size_t limit = 15;
};

// What of one namespace there is to see.
struct Domain {
  std::string name;  // namespaces/default
  size_t segments = 0;
  uint64_t resident_bytes = 0;
  uint64_t attachments = 0;
};

// What one refresh shows.
struct Picture {
  Node node;
  std::vector<Domain> namespaces;  // by name
  std::vector<Segment> segments;   // of all of them, the largest first
  // Absent with a daemon that knows no sessions.
  std::optional<std::vector<Session>> sessions;
};

uint64_t Resident(const Segment& segment) {
  return segment.status.has_value() ? segment.status->resident_bytes : 0;
}

uint64_t Attachments(const Segment& segment) {
  return segment.status.has_value() ? segment.status->attachment_count : 0;
}

std::string NamespaceOf(const Segment& segment) {
  return segment.name.substr(0, segment.name.find("/segments/"));
}

// The names of those to show.
absl::StatusOr<std::vector<std::string>> Names(Client& client,
                                               const std::string& only) {
  if (!only.empty()) {
    return std::vector<std::string>{absl::StrCat("namespaces/", only)};
  }
  std::vector<std::string> out;
  ASSIGN_OR_RETURN(const std::vector<Namespace> all, client.ListNamespaces());
  for (const Namespace& one : all) out.push_back(one.name);
  return out;
}

absl::Status Include(Client& client, const std::string& name,
                     Picture* picture) {
  ListOptions options;
  options.parent = name;
  ASSIGN_OR_RETURN(std::vector<Segment> segments, client.List(options));
  Domain domain;
  domain.name = name;
  domain.segments = segments.size();
  for (Segment& segment : segments) {
    domain.resident_bytes += Resident(segment);
    domain.attachments += Attachments(segment);
    picture->segments.push_back(std::move(segment));
  }
  picture->namespaces.push_back(std::move(domain));
  return absl::OkStatus();
}

absl::StatusOr<Picture> Take(Client& client, const std::string& name_space) {
  Picture out;
  ASSIGN_OR_RETURN(out.node, client.GetNode());
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   Names(client, name_space));
  for (const std::string& name : names) {
    const absl::Status added = Include(client, name, &out);
    // One that was listed can be gone by now.
    if (absl::IsNotFound(added) && name_space.empty()) continue;
    RETURN_IF_ERROR(added);
  }
  std::sort(out.segments.begin(), out.segments.end(),
            [](const Segment& a, const Segment& b) {
              return std::make_tuple(b.size_bytes, Attachments(b), a.name) <
                     std::make_tuple(a.size_bytes, Attachments(a), b.name);
            });
  absl::StatusOr<std::vector<Session>> sessions = client.ListSessions();
  if (sessions.ok()) {
    if (!name_space.empty()) {
      sessions->erase(std::remove_if(sessions->begin(), sessions->end(),
                                     [&names](const Session& session) {
                                       return session.name_space != names[0];
                                     }),
                      sessions->end());
    }
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

std::string LastPart(const std::string& name) {
  return name.substr(name.rfind('/') + 1);
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
  absl::StrAppend(&out, "\n");
  for (const Domain& domain : picture.namespaces) {
    absl::StrAppend(&out, "namespace ", LastPart(domain.name), "  ",
                    domain.segments, " segments to see, ",
                    HumanSize(domain.resident_bytes), " resident, ",
                    domain.attachments, " attachments\n");
  }
  absl::StrAppend(&out, "\n");
  std::vector<std::vector<std::string>> rows;
  for (const Segment& segment : picture.segments) {
    if (rows.size() == limit) break;
    rows.push_back(
        {LastPart(NamespaceOf(segment)), segment.id(),
         HumanSize(segment.size_bytes), HumanSize(Resident(segment)),
         BackendName(segment.backend), SegmentStateName(segment.state),
         absl::StrCat(Attachments(segment)), UserName(segment.owner)});
  }
  absl::StrAppend(&out, FormatTable({"NAMESPACE", "SEGMENT", "SIZE", "RESIDENT",
                                     "BACKEND", "STATE", "ATTACHED", "OWNER"},
                                    rows, {2, 3, 6}));
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
  uint64_t resident_bytes = 0;
  uint64_t attachments = 0;
  nlohmann::ordered_json namespaces = nlohmann::ordered_json::array();
  for (const Domain& domain : picture.namespaces) {
    resident_bytes += domain.resident_bytes;
    attachments += domain.attachments;
    namespaces.push_back({{"name", domain.name},
                          {"segment_count", domain.segments},
                          {"resident_bytes", domain.resident_bytes},
                          {"attachment_count", domain.attachments}});
  }
  out["resident_bytes"] = resident_bytes;
  out["attachment_count"] = attachments;
  out["namespaces"] = std::move(namespaces);
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

absl::Status RunTop(Context& context, const TopOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  for (;;) {
    ASSIGN_OR_RETURN(const Picture picture, Take(*client, options.name_space));
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
  auto options = std::make_shared<TopOptions>();
  CLI::App& verb =
      *app.add_subcommand("top", "Show what takes the memory, again and again");
  verb.add_flag("--once", options->once, "show it once and end");
  verb.add_option("--interval,-i", options->interval_seconds,
                  "seconds between refreshes (2)")
      ->check(CLI::Range(0.1, 86400.0));
  verb.add_option("--limit,-n", options->limit,
                  "at most this many segments and sessions (15)");
  verb.callback([options, &app, &context] {
    // Said, and not the default that other verbs have.
    if (app.count("--namespace") > 0) options->name_space = context.name_space;
    context.status = RunTop(context, *options);
  });
}

}  // namespace shmd::cli
