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

void PrintOrigin(const Segment& segment) {
  PrintField("backend", BackendName(segment.backend));
  if (!segment.posix_name.empty()) PrintField("posix name", segment.posix_name);
  if (segment.sysv_key != 0) {
    PrintField("sysv key", absl::StrFormat("0x%08x", segment.sysv_key));
  }
  if (!segment.file_path.empty()) PrintField("file", segment.file_path);
  if (segment.adopted) PrintField("adopted", "yes");
}

void PrintStatus(const SegmentStatus& status) {
  PrintField("page size", HumanSize(status.page_size_bytes));
  PrintField("resident", ExactSize(status.resident_bytes));
  if (status.locked_bytes != 0) {
    PrintField("locked", ExactSize(status.locked_bytes));
  }
  for (const NodePages& pages : status.node_pages) {
    PrintField(absl::StrCat("node ", pages.node),
               absl::StrCat(pages.pages, " pages"));
  }
  PrintField("attached", absl::StrCat(status.attachment_count));
  if (status.kernel_attach_count.has_value()) {
    PrintField("kernel count", absl::StrCat(*status.kernel_attach_count));
  }
  if (status.sysv_id.has_value())
    PrintField("shmid", absl::StrCat(*status.sysv_id));
  if (!status.seals.empty())
    PrintField("seals", absl::StrJoin(status.seals, " "));
}

// What was asked for beyond what every segment has.
void PrintOptions(const Segment& segment) {
  if (segment.resizable) PrintField("resizable", "yes");
  if (segment.revocable) PrintField("revocable", "yes");
  if (segment.populate) PrintField("populate", "yes");
  if (segment.lock_in_memory) PrintField("lock", "yes");
  if (segment.numa.mode != NumaMode::kNone) {
    PrintField("numa", absl::StrCat(NumaModeName(segment.numa.mode), " ",
                                    absl::StrJoin(segment.numa.nodes, ",")));
  }
  if (segment.huge_page_advice != HugePageAdvice::kUnspecified) {
    PrintField("advice", HugePageAdviceName(segment.huge_page_advice));
  }
  if (segment.seal_policy != SealPolicy::kSealable) {
    PrintField("seal policy", SealPolicyName(segment.seal_policy));
  }
}

// When it was made, and what ends it.
void PrintLife(const Segment& segment) {
  PrintField("created", TimeText(segment.create_time));
  if (segment.expire_time.has_value()) {
    PrintField("expires", TimeText(*segment.expire_time));
  }
  if (segment.lease_ttl.has_value()) {
    PrintField("lease", absl::FormatDuration(*segment.lease_ttl));
  }
  if (segment.lifetime != Lifetime::kUntilDeleted) {
    PrintField("lifetime", LifetimeName(segment.lifetime));
  }
  if (!segment.owner_session.empty()) {
    PrintField("session", segment.owner_session);
  }
}

void PrintAllStat(const Segment& segment) {
  PrintField("name", segment.name);
  PrintField("uid", segment.uid);
  PrintField("size", ExactSize(segment.size_bytes));
  PrintOrigin(segment);
  PrintField("state", SegmentStateName(segment.state));
  PrintField("allocation",
             segment.allocation == Allocation::kReserved ? "RESERVED" : "LAZY");
  PrintField("mode", OctalMode(segment.mode));
  PrintField("owner", absl::StrCat(UserName(segment.owner), ":",
                                   GroupName(segment.group)));
  PrintOptions(segment);
  PrintLife(segment);
  for (const auto& [key, value] : segment.labels) {
    PrintField("label", absl::StrCat(key, "=", value));
  }
  if (segment.status.has_value()) PrintStatus(*segment.status);
  PrintField("etag", segment.etag);
  PrintField("handle", segment.handle);
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
