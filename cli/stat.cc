#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/objects.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

void Line(const char* key, const std::string& value) {
  printf("%-12s %s\n", key, Printable(value).c_str());
}

std::string SizeLine(uint64_t bytes) {
  return absl::StrCat(HumanSize(bytes), " (", bytes, " bytes)");
}

void PrintOrigin(const Segment& segment) {
  Line("backend", BackendName(segment.backend));
  if (!segment.posix_name.empty()) Line("posix name", segment.posix_name);
  if (segment.sysv_key != 0) {
    Line("sysv key", absl::StrFormat("0x%08x", segment.sysv_key));
  }
  if (!segment.file_path.empty()) Line("file", segment.file_path);
  if (segment.adopted) Line("adopted", "yes");
}

void PrintStatus(const SegmentStatus& status) {
  Line("page size", HumanSize(status.page_size_bytes));
  Line("resident", SizeLine(status.resident_bytes));
  if (status.locked_bytes != 0) Line("locked", SizeLine(status.locked_bytes));
  for (const NodePages& pages : status.node_pages) {
    Line(absl::StrCat("node ", pages.node).c_str(),
         absl::StrCat(pages.pages, " pages"));
  }
  Line("attached", absl::StrCat(status.attachment_count));
  if (status.kernel_attach_count.has_value()) {
    Line("kernel count", absl::StrCat(*status.kernel_attach_count));
  }
  if (status.sysv_id.has_value()) Line("shmid", absl::StrCat(*status.sysv_id));
  if (!status.seals.empty()) Line("seals", absl::StrJoin(status.seals, " "));
}

void PrintAllStat(const Segment& segment) {
  Line("name", segment.name);
  Line("uid", segment.uid);
  Line("size", SizeLine(segment.size_bytes));
  PrintOrigin(segment);
  Line("state", SegmentStateName(segment.state));
  Line("allocation",
       segment.allocation == Allocation::kReserved ? "RESERVED" : "LAZY");
  Line("mode", OctalMode(segment.mode));
  Line("owner",
       absl::StrCat(UserName(segment.owner), ":", GroupName(segment.group)));
  if (segment.resizable) Line("resizable", "yes");
  Line("created", TimeText(segment.create_time));
  if (segment.expire_time.has_value()) {
    Line("expires", TimeText(*segment.expire_time));
  }
  for (const auto& [key, value] : segment.labels) {
    Line("label", absl::StrCat(key, "=", value));
  }
  if (segment.status.has_value()) PrintStatus(*segment.status);
  Line("handle", segment.handle);
}

struct StatOptions {
  std::string name;
  bool object = false;
};

absl::Status RunStat(Context& context, const StatOptions& options) {
  if (options.object) return StatObject(context, options.name);
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const Segment segment, client->Get(options.name));
  if (context.json) {
    printf("%s\n", ToText(SegmentToJson(segment)).c_str());
  } else {
    PrintAllStat(segment);
  }
  return absl::OkStatus();
}

}  // namespace

void AddStat(CLI::App& app, Context& context) {
  auto options = std::make_shared<StatOptions>();
  CLI::App& verb = *app.add_subcommand("stat", "Show all about one segment");
  verb.add_option("segment", options->name, "its name")->required();
  verb.add_flag("--object,--objects", options->object,
                "the name is that of an object");
  verb.callback(
      [options, &context] { context.status = RunStat(context, *options); });
}

}  // namespace shmd::cli
