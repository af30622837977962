#include "cli/grants.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

const char* AccessName(Access access) {
  return access == Access::kReadWrite ? "READ_WRITE" : "READ";
}

std::string Uses(const Grant& grant) {
  return grant.max_uses == 0 ? absl::StrCat(grant.uses)
                             : absl::StrCat(grant.uses, "/", grant.max_uses);
}

std::string GrantTable(const std::vector<Grant>& grants) {
  std::vector<std::vector<std::string>> rows;
  for (const Grant& grant : grants) {
    rows.push_back(
        {grant.name, AccessName(grant.access), Uses(grant),
         grant.uid.has_value() ? UserName(*grant.uid) : "anybody",
         grant.expire_time.has_value() ? TimeText(*grant.expire_time) : "-"});
  }
  return FormatTable({"GRANT", "ACCESS", "USES", "USER", "ENDS"}, rows, {2});
}

absl::Status Run(Context& context, const std::string& segment) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Grant> grants,
                   client->ListGrants(segment));
  if (!context.json) {
    printf("%s%zu grants\n", GrantTable(grants).c_str(), grants.size());
    return absl::OkStatus();
  }
  nlohmann::ordered_json out;
  out["grants"] = nlohmann::ordered_json::array();
  for (const Grant& grant : grants) out["grants"].push_back(GrantToJson(grant));
  printf("%s\n", ToText(out).c_str());
  return absl::OkStatus();
}

}  // namespace

nlohmann::ordered_json GrantToJson(const Grant& grant) {
  nlohmann::ordered_json out;
  out["name"] = grant.name;
  out["access"] = AccessName(grant.access);
  if (grant.expire_time.has_value()) {
    out["expire_time"] = TimeText(*grant.expire_time);
  }
  out["max_uses"] = grant.max_uses;
  if (grant.uid.has_value()) out["uid"] = *grant.uid;
  out["uses"] = grant.uses;
  out["create_time"] = TimeText(grant.create_time);
  return out;
}

void AddGrants(CLI::App& app, Context& context) {
  auto segment = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand("grants", "List a segment's grants");
  verb.add_option("segment", *segment, "its name")->required();
  verb.callback(
      [segment, &context] { context.status = Run(context, *segment); });
}

}  // namespace shmd::cli
