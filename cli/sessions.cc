#include "cli/sessions.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct SessionsOptions {
  std::string name;
  std::string segment;
};

const char* AccessName(Access access) {
  return access == Access::kReadWrite ? "READ_WRITE" : "READ";
}

void PrintOne(const Session& session) {
  printf("%s\n%s", session.name.c_str(), SessionTable({session}).c_str());
  std::vector<std::vector<std::string>> rows;
  for (const Holding& holding : session.holdings) {
    rows.push_back({Printable(holding.segment), HumanSize(holding.size_bytes),
                    AccessName(holding.access), TimeText(holding.attach_time)});
  }
  if (rows.empty()) return;
  printf(
      "\n%s",
      FormatTable({"SEGMENT", "SIZE", "ACCESS", "SINCE"}, rows, {1}).c_str());
}

absl::Status ShowOne(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Session session, client->GetSession(name));
  if (context.json) {
    printf("%s\n", ToText(SessionToJson(session)).c_str());
  } else {
    PrintOne(session);
  }
  return absl::OkStatus();
}

absl::Status ShowAll(Context& context, const std::string& segment) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Session> sessions,
                   client->ListSessions(segment));
  if (!context.json) {
    printf("%s%zu sessions\n", SessionTable(sessions).c_str(), sessions.size());
    return absl::OkStatus();
  }
  nlohmann::ordered_json out;
  out["sessions"] = nlohmann::ordered_json::array();
  for (const Session& session : sessions) {
    out["sessions"].push_back(SessionToJson(session));
  }
  printf("%s\n", ToText(out).c_str());
  return absl::OkStatus();
}

}  // namespace

nlohmann::ordered_json SessionToJson(const Session& session) {
  nlohmann::ordered_json out;
  out["name"] = session.name;
  out["state"] = SessionStateName(session.state);
  out["uid"] = session.uid;
  out["gid"] = session.gid;
  out["pid"] = session.pid;
  out["command"] = session.command;
  out["create_time"] = TimeText(session.create_time);
  out["holdings"] = nlohmann::ordered_json::array();
  for (const Holding& holding : session.holdings) {
    nlohmann::ordered_json one;
    one["segment"] = holding.segment;
    one["generation"] = absl::StrCat(holding.generation);
    one["access"] = AccessName(holding.access);
    one["size_bytes"] = holding.size_bytes;
    one["attach_time"] = TimeText(holding.attach_time);
    out["holdings"].push_back(std::move(one));
  }
  out["holding_count"] = session.holding_count;
  out["held_bytes"] = session.held_bytes;
  out["owned_segment_count"] = session.owned_segment_count;
  out["namespace"] = session.name_space;
  return out;
}

std::string SessionTable(const std::vector<Session>& sessions) {
  std::vector<std::vector<std::string>> rows;
  for (const Session& session : sessions) {
    rows.push_back(
        {session.id(), SessionStateName(session.state), UserName(session.uid),
         absl::StrCat(session.pid), Printable(session.command),
         absl::StrCat(session.holding_count), HumanSize(session.held_bytes),
         TimeText(session.create_time)});
  }
  return FormatTable(
      {"SESSION", "STATE", "USER", "PID", "COMMAND", "HOLDS", "BYTES", "SINCE"},
      rows, {3, 5, 6});
}

void AddSessions(CLI::App& app, Context& context) {
  auto options = std::make_shared<SessionsOptions>();
  CLI::App& verb = *app.add_subcommand(
      "sessions", "List who is attached, or show what one session holds");
  verb.add_option("session", options->name, "its name");
  verb.add_option("--segment", options->segment,
                  "only those that have this segment attached");
  verb.callback([options, &context] {
    context.status = options->name.empty() ? ShowAll(context, options->segment)
                                           : ShowOne(context, options->name);
  });
}

}  // namespace shmd::cli
