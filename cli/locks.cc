#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"
#include "client/cpp/sync_calls.h"

namespace shmd::cli {
namespace {

struct LocksOptions {
  std::string segment;
  std::optional<uint64_t> broken;
};

const char* StateName(layout::SyncState state) {
  switch (state) {
    case layout::SyncState::kWaiting:
      return "WAITING";
    case layout::SyncState::kHolding:
      return "HOLDING";
    case layout::SyncState::kWaking:
      return "WAKING";
    case layout::SyncState::kFree:
      break;
  }
  return "STATE_UNSPECIFIED";
}

nlohmann::ordered_json LockToJson(const LockUse& lock) {
  nlohmann::ordered_json out;
  out["offset_bytes"] = lock.offset_bytes;
  out["kind"] = SyncKindName(lock.kind);
  out["state"] = StateName(lock.state);
  out["shared"] = lock.shared;
  out["session"] = lock.session;
  out["pid"] = lock.pid;
  out["thread"] = lock.thread;
  out["since_time"] = TimeText(lock.since);
  return out;
}

std::string LockTable(const std::vector<LockUse>& locks) {
  std::vector<std::vector<std::string>> rows;
  for (const LockUse& lock : locks) {
    rows.push_back(
        {absl::StrCat(lock.offset_bytes), SyncKindName(lock.kind),
         absl::StrCat(StateName(lock.state), lock.shared ? " to read" : ""),
         absl::StrCat(lock.pid), lock.session, TimeText(lock.since)});
  }
  return FormatTable({"OFFSET", "KIND", "STATE", "PID", "SESSION", "SINCE"},
                     rows, {0, 3});
}

absl::Status RunLocks(Context& context, const LocksOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  SyncCalls calls(client);
  if (options.broken.has_value()) {
    return calls.BreakLock(options.segment, *options.broken);
  }
  ASSIGN_OR_RETURN(const std::vector<LockUse> locks,
                   calls.ListLocks(options.segment));
  if (!context.json) {
    printf("%s%zu at locks\n", LockTable(locks).c_str(), locks.size());
    return absl::OkStatus();
  }
  nlohmann::ordered_json out;
  out["locks"] = nlohmann::ordered_json::array();
  for (const LockUse& lock : locks) out["locks"].push_back(LockToJson(lock));
  printf("%s\n", ToText(out).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddLocks(CLI::App& app, Context& context) {
  auto options = std::make_shared<LocksOptions>();
  CLI::App& verb = *app.add_subcommand(
      "locks", "List who holds and who waits for what in a segment");
  verb.add_option("segment", options->segment,
                  "its name, or in full that of a primitive")
      ->required();
  verb.add_option("--break", options->broken,
                  "take the lock at this offset away from whoever has it");
  verb.callback(
      [options, &context] { context.status = RunLocks(context, *options); });
}

}  // namespace shmd::cli
