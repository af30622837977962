#include "cli/format.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace shmd::cli {
namespace {

using nlohmann::ordered_json;

std::string Key(uint32_t key) { return absl::StrFormat("0x%x", key); }

ordered_json StatusToJson(const SegmentStatus& status) {
  ordered_json out;
  out["page_size_bytes"] = status.page_size_bytes;
  out["resident_bytes"] = status.resident_bytes;
  out["locked_bytes"] = status.locked_bytes;
  out["attachment_count"] = status.attachment_count;
  if (status.kernel_attach_count.has_value()) {
    out["kernel_attach_count"] = *status.kernel_attach_count;
  }
  if (status.sysv_id.has_value()) out["sysv_id"] = *status.sysv_id;
  out["seals"] = status.seals;
  out["node_pages"] = ordered_json::array();
  for (const NodePages& pages : status.node_pages) {
    out["node_pages"].push_back({{"node", pages.node}, {"pages", pages.pages}});
  }
  return out;
}

ordered_json NumaToJson(const NumaPolicy& numa) {
  return {{"mode", NumaModeName(numa.mode)}, {"nodes", numa.nodes}};
}

}  // namespace

std::string HumanSize(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B",   "KiB", "MiB", "GiB",
                                           "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  const bool whole = value == static_cast<double>(static_cast<int>(value));
  return absl::StrFormat(whole ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
}

std::string Counted(size_t count, const std::string& what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string OctalMode(uint32_t mode) { return absl::StrFormat("%04o", mode); }

std::string UserName(uint32_t uid) {
  const passwd* user = getpwuid(uid);
  return user != nullptr ? user->pw_name : absl::StrCat(uid);
}

std::string GroupName(uint32_t gid) {
  const group* found = getgrgid(gid);
  return found != nullptr ? found->gr_name : absl::StrCat(gid);
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string Printable(const std::string& text) {
  std::string out = text;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    // Also the C1 controls, which UTF-8 writes as C2 80 to C2 9F.
    const bool c1 = byte == 0xc2 && i + 1 < out.size() &&
                    static_cast<unsigned char>(out[i + 1]) < 0xa0;
    if (byte < 0x20 || byte == 0x7f || c1) out[i] = '?';
    if (c1) out[i + 1] = '?';
  }
  return out;
}

const char* NumaModeName(NumaMode mode) {
  switch (mode) {
    case NumaMode::kBind:
      return "BIND";
    case NumaMode::kInterleave:
      return "INTERLEAVE";
    case NumaMode::kPreferred:
      return "PREFERRED";
    default:
      return "MODE_UNSPECIFIED";
  }
}

const char* HugePageAdviceName(HugePageAdvice advice) {
  switch (advice) {
    case HugePageAdvice::kWanted:
      return "HUGE_PAGES_WANTED";
    case HugePageAdvice::kUnwanted:
      return "HUGE_PAGES_UNWANTED";
    default:
      return "HUGE_PAGE_ADVICE_UNSPECIFIED";
  }
}

const char* SealPolicyName(SealPolicy policy) {
  return policy == SealPolicy::kNeverSealed ? "NEVER_SEALED" : "SEALABLE";
}

std::string ExactSize(uint64_t bytes) {
  return absl::StrCat(HumanSize(bytes), " (", bytes, " bytes)");
}

void PrintField(const std::string& key, const std::string& value) {
  printf("%-12s %s\n", key.c_str(), Printable(value).c_str());
}

std::string FormatTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right_aligned) {
  std::vector<size_t> widths;
  for (size_t column = 0; column < header.size(); ++column) {
    size_t width = header[column].size();
    for (const auto& row : rows) width = std::max(width, row[column].size());
    widths.push_back(width);
  }
  std::string out;
  const auto append = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t column = 0; column < row.size(); ++column) {
      const bool right = std::find(right_aligned.begin(), right_aligned.end(),
                                   column) != right_aligned.end();
      const std::string blank(widths[column] - row[column].size(), ' ');
      absl::StrAppend(&line, column == 0 ? "" : "  ", right ? blank : "",
                      row[column], right ? "" : blank);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, line, "\n");
  };
  append(header);
  for (const auto& row : rows) append(row);
  return out;
}

ordered_json SegmentToJson(const Segment& segment) {
  ordered_json out;
  out["name"] = segment.name;
  out["uid"] = segment.uid;
  out["size_bytes"] = segment.size_bytes;
  out["backend"] = BackendName(segment.backend);
  out["state"] = SegmentStateName(segment.state);
  out["page_size_bytes"] = segment.page_size_bytes;
  out["allocation"] =
      segment.allocation == Allocation::kReserved ? "RESERVED" : "LAZY";
  out["mode"] = OctalMode(segment.mode);
  out["owner"] = segment.owner;
  out["group"] = segment.group;
  out["labels"] = segment.labels;
  out["generation"] = absl::StrCat(segment.generation);
  out["create_time"] = TimeText(segment.create_time);
  if (segment.expire_time.has_value()) {
    out["expire_time"] = TimeText(*segment.expire_time);
  }
  if (segment.lease_ttl.has_value()) {
    out["lease_ttl"] = absl::FormatDuration(*segment.lease_ttl);
  }
  out["lifetime"] = LifetimeName(segment.lifetime);
  if (!segment.owner_session.empty()) {
    out["owner_session"] = segment.owner_session;
  }
  if (!segment.posix_name.empty()) out["posix_name"] = segment.posix_name;
  if (segment.sysv_key != 0) out["sysv_key"] = Key(segment.sysv_key);
  if (!segment.file_path.empty()) out["file_path"] = segment.file_path;
  out["resizable"] = segment.resizable;
  out["revocable"] = segment.revocable;
  out["populate"] = segment.populate;
  out["lock_in_memory"] = segment.lock_in_memory;
  if (segment.numa.mode != NumaMode::kNone) {
    out["numa_policy"] = NumaToJson(segment.numa);
  }
  out["huge_page_advice"] = HugePageAdviceName(segment.huge_page_advice);
  // Others cannot be sealed anyhow.
  if (segment.backend == BackendKind::kMemfd) {
    out["seal_policy"] = SealPolicyName(segment.seal_policy);
  }
  out["adopted"] = segment.adopted;
  out["etag"] = segment.etag;
  if (segment.status.has_value()) {
    out["status"] = StatusToJson(*segment.status);
  }
  out["handle"] = segment.handle;
  return out;
}

ordered_json NodeToJson(const Node& node) {
  ordered_json out;
  out["node"] = absl::StrCat(node.id);
  out["version"] = node.version;
  out["start_time"] = TimeText(node.start_time);
  out["segment_count"] = node.segment_count;
  out["segment_bytes"] = node.segment_bytes;
  out["budget_bytes"] = node.budget_bytes;
  out["memory_available_bytes"] = node.memory_available_bytes;
  if (node.cgroup_available_bytes.has_value()) {
    out["cgroup_available_bytes"] = *node.cgroup_available_bytes;
  }
  out["posix_available_bytes"] = node.posix_available_bytes;
  out["huge_page_pools"] = ordered_json::array();
  for (const Node::HugePagePool& pool : node.huge_page_pools) {
    out["huge_page_pools"].push_back(
        {{"page_size_bytes", pool.page_size_bytes},
         {"total_pages", pool.total_pages},
         {"available_pages", pool.available_pages}});
  }
  return out;
}

std::string ToText(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false,
                   ordered_json::error_handler_t::replace);
}

void PrintSegment(const Segment& segment, bool json, bool quiet) {
  if (json) {
    printf("%s\n", ToText(SegmentToJson(segment)).c_str());
  } else if (quiet) {
    printf("%s\n", segment.handle.c_str());
  } else {
    printf("%s\n", segment.name.c_str());
    printf("  %s, %s, %s, mode %s\n", BackendName(segment.backend),
           HumanSize(segment.size_bytes).c_str(),
           SegmentStateName(segment.state), OctalMode(segment.mode).c_str());
    printf("  handle %s\n", segment.handle.c_str());
  }
}

}  // namespace shmd::cli
