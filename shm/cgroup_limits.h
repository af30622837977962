#ifndef SHMD_SHM_CGROUP_LIMITS_H_
#define SHMD_SHM_CGROUP_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace shmd {

// The least of (limit - use) over the memory cgroup that `proc_self_cgroup`
// (the text of /proc/self/cgroup) names and its ancestors, below the file
// systems that `proc_mounts` (the text of /proc/self/mounts) names; v2 first,
// then v1. A cgroup whose files are not there is passed over: inside a
// container only the container's own is visible, at the mount's root.
std::optional<uint64_t> CgroupAvailableBytes(absl::string_view proc_self_cgroup,
                                             absl::string_view proc_mounts);

}  // namespace shmd

#endif  // SHMD_SHM_CGROUP_LIMITS_H_
