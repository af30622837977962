#ifndef SHMD_CLI_HOST_CHECKS_H_
#define SHMD_CLI_HOST_CHECKS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cpp/client.h"

namespace shmd::cli {

// One thing that `shm doctor` has looked at.
struct Check {
  std::string subject;
  std::string finding;
  std::string advice;  // what to do; empty when it is well
};

// The two sockets below `socket_dir`, and who may connect.
std::vector<Check> CheckSockets(const std::string& socket_dir);

// The limits of the daemon's process, by the text of /proc/PID/limits.
std::vector<Check> CheckProcessLimits(absl::string_view limits);

// /dev/shm as this program sees it, System V, transparent huge pages.
std::vector<Check> CheckHost();

// What the daemon says is left.
std::vector<Check> CheckNode(const Node& node);

// /proc/PID/limits of the daemon that listens in `socket_dir`; empty when it
// cannot be seen, as from another container.
std::string ReadDaemonLimits(const std::string& socket_dir);

// What to say of a file system of `size_bytes` with `available_bytes` left.
Check CheckSpace(const std::string& subject, uint64_t size_bytes,
                 uint64_t available_bytes);

}  // namespace shmd::cli

#endif  // SHMD_CLI_HOST_CHECKS_H_
