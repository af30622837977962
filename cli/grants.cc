#include "cli/grants.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

const char* AccessName(Access access) {
  return access == Access::kReadWrite ? "READ_WRITE" : "READ";
}

// Of a channel's the roles.
std::string AccessText(const Grant& grant) {
  if (grant.roles.empty()) return AccessName(grant.access);
  return absl::StrJoin(grant.roles, ",", [](std::string* out, GrantRole role) {
    absl::StrAppend(out, GrantRoleName(role));
  });
}

nlohmann::ordered_json GrantToJson(const Grant& grant) {
  nlohmann::ordered_json out;
  out["name"] = grant.name;
  if (grant.roles.empty()) out["access"] = AccessName(grant.access);
  for (const GrantRole role : grant.roles) {
    out["roles"].push_back(GrantRoleName(role));
  }
  if (grant.expire_time.has_value()) {
    out["expire_time"] = TimeText(*grant.expire_time);
  }
  out["max_uses"] = grant.max_uses;
  if (grant.uid.has_value()) out["uid"] = *grant.uid;
  out["uses"] = grant.uses;
  out["create_time"] = TimeText(grant.create_time);
  return out;
}

std::string Uses(const Grant& grant) {
  return grant.max_uses == 0 ? absl::StrCat(grant.uses)
                             : absl::StrCat(grant.uses, "/", grant.max_uses);
}

std::string GrantTable(const std::vector<Grant>& grants) {
  std::vector<std::vector<std::string>> rows;
  for (const Grant& grant : grants) {
    rows.push_back(
        {grant.name, AccessText(grant), Uses(grant),
         grant.uid.has_value() ? UserName(*grant.uid) : "anybody",
         grant.expire_time.has_value() ? TimeText(*grant.expire_time) : "-"});
  }
  return FormatTable({"GRANT", "ACCESS", "USES", "USER", "ENDS"}, rows, {2});
}

absl::Status RunGrants(Context& context, const std::string& segment) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Grant> grants,
                   client->ListGrants(segment));
  PrintGrants(context, grants);
  return absl::OkStatus();
}

}  // namespace

void AddGrantLimits(CLI::App& app, GrantSpec* spec) {
  AddParsed(app, "--ttl", "ends after this long, as 90s or 2h", ParseTtl,
            [spec](absl::Duration duration) { spec->ttl = duration; });
  app.add_option("--uses", spec->max_uses,
                 "how often it may be used; default: any number of times");
  app.add_option("--uid", spec->uid, "the only user who may use it");
}

void PrintNewGrant(const Context& context, const NewGrant& made) {
  if (context.json) {
    nlohmann::ordered_json out = GrantToJson(made.grant);
    out["handle"] = made.handle;
    printf("%s\n", ToText(out).c_str());
  } else {
    printf("%s\n", made.handle.c_str());
  }
}

void PrintGrants(const Context& context, const std::vector<Grant>& grants) {
  if (!context.json) {
    printf("%s%zu grants\n", GrantTable(grants).c_str(), grants.size());
    return;
  }
  nlohmann::ordered_json out;
  out["grants"] = nlohmann::ordered_json::array();
  for (const Grant& grant : grants) out["grants"].push_back(GrantToJson(grant));
  printf("%s\n", ToText(out).c_str());
}

void AddGrants(CLI::App& app, Context& context) {
  auto segment = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand("grants", "List a segment's grants");
  verb.add_option("segment", *segment, "its name")->required();
  verb.callback(
      [segment, &context] { context.status = RunGrants(context, *segment); });
}

}  // namespace shmd::cli
