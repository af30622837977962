#ifndef SHMD_SERVER_CENSUS_PROC_TEXT_H_
#define SHMD_SERVER_CENSUS_PROC_TEXT_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/census/object_id.h"

namespace shmd {

// Parsers of the kernel's own tables (proc(5)). Each takes the whole text, as
// it came, and passes over what it does not understand: other programs choose
// the names in it. Nothing here makes a system call. Thread-safe.

// One line of /proc/PID/maps that is backed by an object.
struct MapsLine {
  ObjectId object;
  uint64_t bytes = 0;
  bool writable = false;  // by others to see: shared, and not only read
};

// Calls `visit` for each line of `maps` with an inode.
void ParseMaps(absl::string_view maps,
               const std::function<void(const MapsLine&)>& visit);

// The real uid in /proc/PID/status.
std::optional<uid_t> ParseStatusUid(absl::string_view status);

// The last part of the path in /proc/PID/cgroup, of version 2 where there is
// one; empty at the root.
std::string ParseCgroup(absl::string_view cgroup);

// Of /proc/PID/stat.
struct ProcessState {
  std::string command;
  pid_t parent = 0;
  bool is_kernel_thread = false;
  bool is_dead = false;  // a zombie, which has no memory any more
};
std::optional<ProcessState> ParseStat(absl::string_view stat);

// The folders where hugetlbfs is mounted, by /proc/self/mountinfo.
std::vector<std::string> ParseHugetlbfsMounts(absl::string_view mountinfo);

// One line of /proc/sysvipc/shm.
struct SysvRow {
  uint32_t key = 0;
  int id = -1;
  mode_t mode = 0;  // permission bits only
  uint64_t size_bytes = 0;
  pid_t creator = 0;
  pid_t last_user = 0;
  uint64_t attach_count = 0;
  uid_t owner = 0;
  int64_t attach_time = 0;  // Unix seconds; 0: never
  int64_t detach_time = 0;  // 0: never
  int64_t change_time = 0;
  uint64_t resident_bytes = 0;
  uint64_t swapped_bytes = 0;
};
std::vector<SysvRow> ParseSysvTable(absl::string_view table);

// `name` as it is when it is printable ASCII, else with its other bytes as
// `\xNN`: other programs choose names, and a message holds UTF-8 alone.
std::string EscapedName(absl::string_view name);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_PROC_TEXT_H_
