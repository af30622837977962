#ifndef SHMD_CLIENT_CPP_HEALTH_H_
#define SHMD_CLIENT_CPP_HEALTH_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace shmd {
inline namespace client {

// Asks the daemon by grpc.health.v1.Health/Check whether it serves. OK when it
// says SERVING; UNAVAILABLE (SERVER_UNREACHABLE) when it says anything else or
// nothing within `timeout`, as when it starts, drains, or hangs. `socket_dir`
// as in ConnectOptions. A connection of its own; thread-safe.
absl::Status CheckHealth(absl::string_view socket_dir, absl::Duration timeout);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_HEALTH_H_
