#ifndef SHMD_SERVER_FLAGS_H_
#define SHMD_SERVER_FLAGS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/log.h"

namespace shmd {

// What the daemon is told on its command line and in its environment, with
// every default filled in. docs/operations.md lists the flags.
struct Flags {
  std::string socket_dir;
  std::string state_dir;
  std::vector<std::string> file_roots;
  uint64_t budget_bytes = 0;
  uint64_t quota_bytes = 0;
  uint64_t quota_segments = 100000;
  uint64_t memory_reserve_bytes = uint64_t{64} << 20;
  uint64_t orphan_age_seconds = 60;
  std::vector<uid_t> admin_uids;
  // How long a session is awaited after a restart when its process cannot be
  // seen to be alive.
  absl::Duration session_grace = absl::Seconds(30);
  mode_t socket_mode = 0666;
  // HOST:PORT; empty: no TCP. The others only with it, and the three files
  // always.
  std::string tcp_address;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
  std::vector<std::string> admin_certificates;
  bool tcp_reflection = false;
  LogLevel log_level = LogLevel::kNotice;
  // To be the keeper of a daemon (server/keeper), not a daemon.
  bool keeper = false;
  uint64_t descriptor_store_max = 0;
  // For tests: base/failpoint.h.
  std::string failpoints;

  // Set when the program is to print this and exit with `exit_code`.
  std::string text;
  int exit_code = 0;
};

Flags ParseFlags(int argc, const char* const* argv);

}  // namespace shmd

#endif  // SHMD_SERVER_FLAGS_H_
