#include "shm/cgroup_limits.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace shmd {
namespace {

// Which files tell limit and use.
struct Hierarchy {
  std::string mount_point;
  std::string cgroup_path;
  const char* limit_file;
  const char* usage_file;
};

std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  uint64_t value = 0;
  // v2 writes "max" for no limit.
  if (!std::getline(file, text) || !absl::SimpleAtoi(text, &value)) {
    return std::nullopt;
  }
  return value;
}

// v1 has no word for "no limit" but a number beyond any memory.
constexpr uint64_t kNoLimitBytes = uint64_t{1} << 60;

std::optional<uint64_t> Room(const std::string& folder,
                             const Hierarchy& hierarchy) {
  const std::optional<uint64_t> limit =
      ReadNumber(absl::StrCat(folder, "/", hierarchy.limit_file));
  if (!limit.has_value() || *limit >= kNoLimitBytes) return std::nullopt;
  const std::optional<uint64_t> usage =
      ReadNumber(absl::StrCat(folder, "/", hierarchy.usage_file));
  if (!usage.has_value()) return std::nullopt;
  return *limit > *usage ? *limit - *usage : 0;
}

std::optional<uint64_t> Least(std::optional<uint64_t> a,
                              std::optional<uint64_t> b) {
  if (!a.has_value()) return b;
  if (!b.has_value()) return a;
  return std::min(*a, *b);
}

std::optional<uint64_t> LeastRoomUpwards(const Hierarchy& hierarchy) {
  std::optional<uint64_t> least;
  std::string path = hierarchy.cgroup_path;
  for (;;) {
    least = Least(least, Room(hierarchy.mount_point + path, hierarchy));
    const size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return least;
    path.resize(slash);
  }
}

std::string MountPoint(absl::string_view mounts, absl::string_view type,
                       absl::string_view option) {
  for (absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
    if (parts.size() < 4 || parts[2] != type) continue;
    const std::vector<absl::string_view> options =
        absl::StrSplit(parts[3], ',');
    if (option.empty() ||
        std::find(options.begin(), options.end(), option) != options.end()) {
      return std::string(parts[1]);
    }
  }
  return "";
}

}  // namespace

std::optional<uint64_t> CgroupAvailableBytes(absl::string_view proc_self_cgroup,
                                             absl::string_view proc_mounts) {
  std::optional<uint64_t> least;
  // Lines are HIERARCHY:CONTROLLERS:PATH; v2 is hierarchy 0 (cgroups(7)).
  for (absl::string_view line : absl::StrSplit(proc_self_cgroup, '\n')) {
    const std::vector<absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    Hierarchy hierarchy;
    hierarchy.cgroup_path = std::string(absl::StripSuffix(parts[2], "/"));
    if (parts[0] == "0" && parts[1].empty()) {
      hierarchy.mount_point = MountPoint(proc_mounts, "cgroup2", "");
      hierarchy.limit_file = "memory.max";
      hierarchy.usage_file = "memory.current";
    } else if (parts[1] == "memory") {
      hierarchy.mount_point = MountPoint(proc_mounts, "cgroup", "memory");
      hierarchy.limit_file = "memory.limit_in_bytes";
      hierarchy.usage_file = "memory.usage_in_bytes";
    } else {
      continue;
    }
    if (hierarchy.mount_point.empty()) continue;
    least = Least(least, LeastRoomUpwards(hierarchy));
  }
  return least;
}

}  // namespace shmd
