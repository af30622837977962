#include "client/cpp/socket_dir.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace shmd {
inline namespace client {

std::string ResolveSocketDir(absl::string_view chosen) {
  if (!chosen.empty()) return std::string(chosen);
  const char* dir = getenv("SHMD_SOCKET_DIR");
  if (dir != nullptr && *dir != '\0') return dir;
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime != '\0') {
    return absl::StrCat(runtime, "/shmd");
  }
  return "/run/shmd";
}

}  // namespace client
}  // namespace shmd
