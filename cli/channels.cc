#include "cli/channels.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

constexpr std::pair<const char*, ChannelKind> kKinds[] = {
    {"publish", ChannelKind::kPublish},
    {"queue", ChannelKind::kQueue},
    {"call", ChannelKind::kCall}};

struct ChannelsOptions {
  bool once = false;
  bool quiet = false;
  double interval_seconds = 2;
};

// A channel at one moment.
struct Sight {
  Channel channel;
  ChannelStats stats;
  uint64_t published = 0;
  uint64_t lag = 0;  // the greatest
  uint64_t lost = 0;
};

// What was published when, by the names of channels and publishers.
struct Before {
  absl::Time time;
  std::map<std::string, uint64_t> published;
};

std::string LastPart(const std::string& name) {
  return name.substr(name.rfind('/') + 1);
}

nlohmann::ordered_json MemberToJson(const ChannelStats::Member& member) {
  nlohmann::ordered_json json;
  json["name"] = member.name;
  json["session"] = member.session;
  if (member.role != ChannelRole::kPeer) {
    json["role"] = ChannelRoleName(member.role);
  }
  json["pid"] = member.pid;
  json["uid"] = member.uid;
  return json;
}

std::vector<std::string> MemberCells(const ChannelStats::Member& member) {
  return {
      LastPart(member.name), absl::StrCat(member.pid), UserName(member.uid),
      member.role == ChannelRole::kPeer ? "" : ChannelRoleName(member.role)};
}

// Those of which the statistics may not be read are left out.
absl::StatusOr<std::vector<Sight>> Look(Client& client) {
  std::vector<Sight> out;
  ASSIGN_OR_RETURN(std::vector<Channel> channels, client.ListChannels());
  for (Channel& channel : channels) {
    absl::StatusOr<ChannelStats> stats = client.GetChannelStats(channel.name);
    if (absl::IsNotFound(stats.status())) continue;
    RETURN_IF_ERROR(stats.status());
    Sight& sight = out.emplace_back();
    sight.channel = std::move(channel);
    sight.stats = *std::move(stats);
    for (const auto& one : sight.stats.publishers) {
      sight.published += one.published;
    }
    for (const auto& one : sight.stats.subscribers) {
      sight.lag = std::max(sight.lag, one.lag);
      sight.lost += one.lost;
    }
  }
  return out;
}

// Messages a second of each channel since `before`, which becomes now. Who has
// joined or left meanwhile counts from when, or until, it was seen.
std::map<std::string, double> Rates(const std::vector<Sight>& sights,
                                    Before* before) {
  Before now;
  now.time = absl::Now();
  std::map<std::string, double> rates;
  const double seconds = absl::ToDoubleSeconds(now.time - before->time);
  for (const Sight& sight : sights) {
    uint64_t messages = 0;
    for (const auto& one : sight.stats.publishers) {
      const auto known = before->published.find(one.name);
      const uint64_t start =
          known == before->published.end() ? 0 : known->second;
      messages += one.published - std::min(one.published, start);
      now.published[one.name] = one.published;
    }
    rates[sight.channel.name] =
        seconds > 0 ? static_cast<double>(messages) / seconds : 0;
  }
  *before = std::move(now);
  return rates;
}

nlohmann::ordered_json ToJson(const std::vector<Sight>& sights,
                              const std::map<std::string, double>* rates) {
  nlohmann::ordered_json out;
  out["channels"] = nlohmann::ordered_json::array();
  for (const Sight& sight : sights) {
    nlohmann::ordered_json json = ChannelToJson(sight.channel);
    json["published"] = std::to_string(sight.published);
    if (rates != nullptr) {
      json["messages_per_second"] = rates->at(sight.channel.name);
    }
    json["lag"] = std::to_string(sight.lag);
    json["lost"] = std::to_string(sight.lost);
    out["channels"].push_back(std::move(json));
  }
  return out;
}

std::string Text(const std::vector<Sight>& sights,
                 const std::map<std::string, double>* rates) {
  std::vector<std::vector<std::string>> rows;
  for (const Sight& sight : sights) {
    rows.push_back({sight.channel.id(), ChannelKindName(sight.channel.kind),
                    absl::StrCat(sight.channel.publishers),
                    absl::StrCat(sight.channel.subscribers),
                    absl::StrCat(sight.published),
                    rates == nullptr ? "-"
                                     : absl::StrCat(static_cast<uint64_t>(
                                           rates->at(sight.channel.name))),
                    absl::StrCat(sight.lag), absl::StrCat(sight.lost),
                    UserName(sight.channel.owner)});
  }
  return absl::StrCat(
      FormatTable({"CHANNEL", "KIND", "PUBLISHERS", "SUBSCRIBERS", "PUBLISHED",
                   "PER_SECOND", "LAG", "LOST", "OWNER"},
                  rows, {2, 3, 4, 5, 6, 7}),
      sights.size(), " channels\n");
}

absl::Status RunChannels(Context& context, const ChannelsOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  if (options.quiet) {
    ASSIGN_OR_RETURN(const std::vector<Channel> channels,
                     client->ListChannels());
    for (const Channel& one : channels) printf("%s\n", one.id().c_str());
    return absl::OkStatus();
  }
  Before before;
  for (bool first = true;; first = false) {
    ASSIGN_OR_RETURN(const std::vector<Sight> sights, Look(*client));
    const std::map<std::string, double> rates = Rates(sights, &before);
    // Rates take two looks.
    const auto* const shown = first ? nullptr : &rates;
    if (context.json) {
      printf("%s\n",
             ToText(ToJson(sights, shown), options.once ? 2 : -1).c_str());
    } else {
      const bool screen = !options.once && isatty(STDOUT_FILENO) != 0;
      printf("%s%s%s", screen ? "\033[H\033[2J" : "",
             Text(sights, shown).c_str(), options.once ? "" : "\n");
    }
    fflush(stdout);
    // Ends as well once nobody reads any more.
    if (options.once || ferror(stdout) != 0) return absl::OkStatus();
    absl::SleepFor(absl::Seconds(options.interval_seconds));
  }
}

}  // namespace

void AddChannelSpecOptions(CLI::App& app, ChannelSpec* spec) {
  app.add_option_function<std::string>(
         "--kind",
         [spec](const std::string& text) {
           for (const auto& [name, kind] : kKinds) {
             if (text == name) spec->kind = kind;
           }
         },
         "publish (default), queue or call")
      ->trigger_on_parse()
      ->check(CLI::IsMember({"publish", "queue", "call"}));
  app.add_option("--slots", spec->slots,
                 "messages that a publisher's ring holds (default 1024)");
  AddParsed(app, "--payload", "bytes of a publisher's ring (default 64MiB)",
            ParseSize, [spec](uint64_t bytes) { spec->payload_bytes = bytes; });
  app.add_option("--history", spec->history,
                 "messages that a publisher keeps for who comes late");
  app.add_flag("--checksums", spec->checksums,
               "publishers add a CRC32C, which subscribers check");
  AddParsed(app, "--mode", "permission bits in octal (default 600)", ParseMode,
            [spec](uint32_t mode) { spec->mode = mode; });
}

void AddGrantOption(CLI::App& app, std::string* grant) {
  app.add_option("--grant", *grant,
                 "what `shm channel grant` has printed: lets in whom the "
                 "channel's mode would not; nothing is created then");
}

absl::StatusOr<Channel> FindOrCreateChannel(Client& client,
                                            const std::string& name,
                                            const ChannelSpec& spec) {
  absl::StatusOr<Channel> channel = client.GetChannel(name);
  if (GetErrorReason(channel.status()) != reason::kChannelNotFound) {
    return channel;
  }
  channel = client.CreateChannel(LastPart(name), spec);
  // Somebody else was faster.
  if (GetErrorReason(channel.status()) == reason::kChannelExists) {
    return client.GetChannel(name);
  }
  return channel;
}

nlohmann::ordered_json ChannelToJson(const Channel& channel) {
  nlohmann::ordered_json json;
  json["name"] = channel.name;
  json["kind"] = ChannelKindName(channel.kind);
  json["slots"] = channel.slots;
  json["payload_bytes"] = std::to_string(channel.payload_bytes);
  json["history"] = channel.history;
  if (channel.checksums) json["checksums"] = true;
  json["owner"] = channel.owner;
  json["group"] = channel.group;
  json["mode"] = OctalMode(channel.mode);
  json["generation"] = std::to_string(channel.generation);
  json["create_time"] = TimeText(channel.create_time);
  json["publisher_count"] = channel.publishers;
  json["subscriber_count"] = channel.subscribers;
  return json;
}

nlohmann::ordered_json StatsToJson(const ChannelStats& stats) {
  nlohmann::ordered_json out;
  out["publishers"] = nlohmann::ordered_json::array();
  for (const auto& one : stats.publishers) {
    nlohmann::ordered_json json = MemberToJson(one);
    json["published"] = std::to_string(one.published);
    json["oldest"] = std::to_string(one.oldest);
    json["is_waiting"] = one.is_waiting;
    if (one.has_left) json["has_left"] = true;
    out["publishers"].push_back(std::move(json));
  }
  out["subscribers"] = nlohmann::ordered_json::array();
  for (const auto& one : stats.subscribers) {
    nlohmann::ordered_json json = MemberToJson(one);
    json["slow_policy"] = SlowPolicyName(one.policy);
    json["lag"] = std::to_string(one.lag);
    json["lost"] = std::to_string(one.lost);
    json["is_asleep"] = one.is_asleep;
    json["is_cut_off"] = one.is_cut_off;
    out["subscribers"].push_back(std::move(json));
  }
  return out;
}

std::string StatsText(const ChannelStats& stats) {
  std::vector<std::vector<std::string>> publishers;
  for (const auto& one : stats.publishers) {
    std::vector<std::string>& row = publishers.emplace_back(MemberCells(one));
    row.push_back(absl::StrCat(one.published));
    // A publisher writes both as it likes.
    row.push_back(
        absl::StrCat(one.published - std::min(one.published, one.oldest)));
    row.push_back(one.has_left ? "left" : one.is_waiting ? "waits" : "");
  }
  std::vector<std::vector<std::string>> subscribers;
  for (const auto& one : stats.subscribers) {
    std::vector<std::string>& row = subscribers.emplace_back(MemberCells(one));
    row.push_back(SlowPolicyName(one.policy));
    row.push_back(absl::StrCat(one.lag));
    row.push_back(absl::StrCat(one.lost));
    row.push_back(one.is_cut_off ? "cut off" : one.is_asleep ? "asleep" : "");
  }
  return absl::StrCat(FormatTable({"PUBLISHER", "PID", "USER", "ROLE",
                                   "PUBLISHED", "HOLDS", "STATE"},
                                  publishers, {1, 4, 5}),
                      "\n",
                      FormatTable({"SUBSCRIBER", "PID", "USER", "ROLE",
                                   "WHEN_SLOW", "LAG", "LOST", "STATE"},
                                  subscribers, {1, 5, 6}));
}

void AddChannels(CLI::App& app, Context& context) {
  auto options = std::make_shared<ChannelsOptions>();
  CLI::App& verb = *app.add_subcommand(
      "channels", "Show what goes through channels, again and again");
  verb.add_flag("--once", options->once, "show it once and end");
  verb.add_flag("--quiet,-q", options->quiet, "short names alone, once");
  verb.add_option("--interval,-i", options->interval_seconds,
                  "seconds between refreshes (2)")
      ->check(CLI::Range(0.1, 86400.0));
  verb.callback(
      [options, &context] { context.status = RunChannels(context, *options); });
}

}  // namespace shmd::cli
