#ifndef SHMD_CLIENT_CPP_SOCKET_DIR_H_
#define SHMD_CLIENT_CPP_SOCKET_DIR_H_

#include <string>

#include "absl/strings/string_view.h"

namespace shmd {
inline namespace client {

// The folder of the daemon's sockets: `chosen` unless empty, else
// $SHMD_SOCKET_DIR, else $XDG_RUNTIME_DIR/shmd, else /run/shmd. An empty
// variable counts as absent.
std::string ResolveSocketDir(absl::string_view chosen);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_SOCKET_DIR_H_
