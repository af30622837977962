#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

// `shm namespaces`, and `shm namespace create|set|show|rm`.

namespace shmd::cli {
namespace {

struct NamespacesOptions {
  std::string name;
  std::vector<uint32_t> uids;
  std::vector<uint32_t> gids;
  bool everybody = false;
  Quota quota;
  Quota uid_quota;
  std::string when_full;
};

bool IsSet(const Quota& quota) {
  return quota.bytes.has_value() || quota.segments.has_value() ||
         quota.spilled_bytes.has_value();
}

constexpr struct {
  const char* text;
  WhenFull when_full;
} kWhenFull[] = {
    {"refuse", WhenFull::kRefuse},
    {"evict", WhenFull::kEvict},
    {"spill", WhenFull::kSpill},
};

const char* TextOf(WhenFull when_full) {
  for (const auto& one : kWhenFull) {
    if (one.when_full == when_full) return one.text;
  }
  return "?";
}

nlohmann::ordered_json QuotaToJson(const Quota& quota) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  const auto put = [&out](const char* key,
                          const std::optional<uint64_t>& amount) {
    if (amount.has_value()) out[key] = *amount;
  };
  put("bytes", quota.bytes);
  put("segments", quota.segments);
  put("sessions", quota.sessions);
  put("watches", quota.watches);
  put("descriptors", quota.descriptors);
  put("huge_page_bytes", quota.huge_page_bytes);
  put("spilled_bytes", quota.spilled_bytes);
  return out;
}

nlohmann::ordered_json NamespaceToJson(const Namespace& one) {
  nlohmann::ordered_json out;
  out["name"] = one.name;
  out["entrants"]["uids"] = one.entrants.uids;
  out["entrants"]["gids"] = one.entrants.gids;
  out["entrants"]["certificate_names"] = one.entrants.certificate_names;
  out["quota"] = QuotaToJson(one.quota);
  out["uid_quota"] = QuotaToJson(one.uid_quota);
  out["when_full"] = TextOf(one.when_full);
  out["usage"] = QuotaToJson(one.usage);
  out["uid_usages"] = nlohmann::ordered_json::array();
  for (const UidUsage& user : one.uid_usages) {
    out["uid_usages"].push_back(
        {{"uid", user.uid}, {"usage", QuotaToJson(user.usage)}});
  }
  if (one.create_time.has_value()) {
    out["create_time"] = TimeText(*one.create_time);
  }
  out["etag"] = one.etag;
  return out;
}

std::string EntrantsText(const Entrants& entrants) {
  std::vector<std::string> who;
  for (const uint32_t uid : entrants.uids) who.push_back(UserName(uid));
  for (const uint32_t gid : entrants.gids) {
    who.push_back(absl::StrCat(":", GroupName(gid)));
  }
  for (const std::string& name : entrants.certificate_names) {
    who.push_back(absl::StrCat("cert:", Printable(name)));
  }
  return who.empty() ? "everybody" : absl::StrJoin(who, ",");
}

std::vector<std::string> NamespacesRow(const std::string& what,
                                       const Quota& quota) {
  const auto count = [](const std::optional<uint64_t>& amount) {
    return amount.has_value() ? absl::StrCat(*amount) : "-";
  };
  const auto size = [](const std::optional<uint64_t>& amount) {
    return amount.has_value() ? HumanSize(*amount) : "-";
  };
  return {what,
          size(quota.bytes),
          count(quota.segments),
          count(quota.sessions),
          count(quota.watches),
          count(quota.descriptors),
          size(quota.huge_page_bytes),
          size(quota.spilled_bytes)};
}

std::string QuotaTable(const std::string& what,
                       const std::vector<std::vector<std::string>>& rows) {
  return FormatTable({what, "BYTES", "SEGMENTS", "SESSIONS", "WATCHES",
                      "DESCRIPTORS", "HUGE PAGES", "SPILLED"},
                     rows, {1, 2, 3, 4, 5, 6, 7});
}

absl::Status PrintNamespaces(const Context& context, const Namespace& one) {
  if (context.json) {
    printf("%s\n", ToText(NamespaceToJson(one)).c_str());
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      NamespacesRow("quota", one.quota),
      NamespacesRow("quota of a user", one.uid_quota),
      NamespacesRow("used", one.usage)};
  for (const UidUsage& user : one.uid_usages) {
    rows.push_back(NamespacesRow(absl::StrCat("used by ", UserName(user.uid)),
                                 user.usage));
  }
  printf("%s\n  open to %s\n  when full: %s\n%s", one.name.c_str(),
         EntrantsText(one.entrants).c_str(), TextOf(one.when_full),
         QuotaTable("", rows).c_str());
  return absl::OkStatus();
}

absl::Status ShowAll(Context& context) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Namespace> all, client->ListNamespaces());
  if (context.json) {
    nlohmann::ordered_json out;
    out["namespaces"] = nlohmann::ordered_json::array();
    for (const Namespace& one : all) {
      out["namespaces"].push_back(NamespaceToJson(one));
    }
    printf("%s\n", ToText(out).c_str());
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const Namespace& one : all)
    rows.push_back(NamespacesRow(one.id(), one.usage));
  printf("%s%zu namespaces\n", QuotaTable("NAMESPACE", rows).c_str(),
         all.size());
  return absl::OkStatus();
}

NamespaceSpec SpecOf(const NamespacesOptions& options) {
  NamespaceSpec spec;
  if (options.everybody || !options.uids.empty() || !options.gids.empty()) {
    spec.entrants = Entrants{options.uids, options.gids, {}};
  }
  if (IsSet(options.quota)) spec.quota = options.quota;
  if (IsSet(options.uid_quota)) spec.uid_quota = options.uid_quota;
  for (const auto& one : kWhenFull) {
    if (options.when_full == one.text) spec.when_full = one.when_full;
  }
  return spec;
}

// A quota is changed as a whole: what was not named stays as it is read.
void Merge(const Quota& change, Quota* quota) {
  if (change.bytes.has_value()) quota->bytes = change.bytes;
  if (change.segments.has_value()) quota->segments = change.segments;
  if (change.spilled_bytes.has_value()) {
    quota->spilled_bytes = change.spilled_bytes;
  }
}

absl::Status Set(Context& context, const NamespacesOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  NamespaceSpec spec = SpecOf(options);
  ASSIGN_OR_RETURN(Namespace now, client->GetNamespace(options.name));
  if (spec.entrants.has_value()) {
    spec.entrants->certificate_names = now.entrants.certificate_names;
  }
  Merge(options.quota, &now.quota);
  Merge(options.uid_quota, &now.uid_quota);
  if (spec.quota.has_value()) spec.quota = now.quota;
  if (spec.uid_quota.has_value()) spec.uid_quota = now.uid_quota;
  spec.etag = now.etag;
  ASSIGN_OR_RETURN(const Namespace changed,
                   client->UpdateNamespace(options.name, spec));
  return PrintNamespaces(context, changed);
}

absl::Status Create(Context& context, const NamespacesOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  // One that is given stands for itself; without, the daemon has a fair share
  // for each user, which what was named here is to change.
  NamespaceSpec spec = SpecOf(options);
  spec.uid_quota.reset();
  ASSIGN_OR_RETURN(const Namespace made,
                   client->CreateNamespace(options.name, spec));
  return IsSet(options.uid_quota) ? Set(context, options)
                                  : PrintNamespaces(context, made);
}

absl::Status Show(Context& context, const NamespacesOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Namespace one, client->GetNamespace(options.name));
  return PrintNamespaces(context, one);
}

absl::Status Remove(Context& context, const NamespacesOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  return client->DeleteNamespace(options.name);
}

void AddSpecOptions(CLI::App& verb, NamespacesOptions* options) {
  verb.add_option("--uid", options->uids, "who may enter; may be repeated");
  verb.add_option("--gid", options->gids,
                  "a group that may enter; may be repeated");
  verb.add_flag("--everybody", options->everybody, "everybody may enter");
  AddParsed(verb, "--bytes", "the most that all may use", ParseSize,
            [options](uint64_t bytes) { options->quota.bytes = bytes; });
  verb.add_option("--segments", options->quota.segments,
                  "the most segments of all");
  AddParsed(verb, "--uid_bytes", "the most that each user may use", ParseSize,
            [options](uint64_t bytes) { options->uid_quota.bytes = bytes; });
  verb.add_option("--uid_segments", options->uid_quota.segments,
                  "the most segments of each user");
  verb.add_option("--when_full", options->when_full,
                  "what happens to objects when there is no memory for more")
      ->check(CLI::IsMember({"refuse", "evict", "spill"}));
  AddParsed(
      verb, "--spilled_bytes", "the most that files may take", ParseSize,
      [options](uint64_t bytes) { options->quota.spilled_bytes = bytes; });
}

}  // namespace

void AddNamespaces(CLI::App& app, Context& context) {
  CLI::App& verb = *app.add_subcommand(
      "namespaces", "List namespaces and what is used of each");
  verb.callback([&context] { context.status = ShowAll(context); });
}

void AddNamespace(CLI::App& app, Context& context) {
  CLI::App& verb = *app.add_subcommand(
      "namespace", "Create, change, show or remove a namespace");
  verb.require_subcommand(1);
  const struct {
    const char* name;
    const char* description;
    absl::Status (*run)(Context&, const NamespacesOptions&);
    bool takes_spec;
  } kActions[] = {
      {"create", "Create a namespace", &Create, true},
      {"set", "Change who may enter, quotas, and --when_full", &Set, true},
      {"show", "Show who may enter, quotas, and what is used", &Show, false},
      {"rm", "Remove a namespace that nothing uses", &Remove, false},
  };
  for (const auto& action : kActions) {
    auto options = std::make_shared<NamespacesOptions>();
    CLI::App& one = *verb.add_subcommand(action.name, action.description);
    one.add_option("namespace", options->name, "its name")->required();
    if (action.takes_spec) AddSpecOptions(one, options.get());
    one.callback([options, run = action.run, &context] {
      context.status = run(context, *options);
    });
  }
}

}  // namespace shmd::cli
