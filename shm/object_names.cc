#include "shm/object_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/types.h"

namespace shmd {
namespace {

constexpr size_t kMaxPosixNameBytes = 200;  // without the slash
constexpr size_t kMaxPathBytes = 4095;      // PATH_MAX less its NUL
constexpr size_t kMaxPartBytes = 255;       // NAME_MAX

bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == '-';
}

absl::Status PathInvalid(absl::string_view message) {
  return InvalidField("segment.file_path", reason::kFilePathInvalid, message);
}

absl::Status CheckRelativePath(absl::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes) {
    return PathInvalid("a path has 1 to 4095 bytes");
  }
  if (path.find('\0') != absl::string_view::npos) {
    return PathInvalid("a path has no NUL byte");
  }
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return PathInvalid("a path has no empty part, no `.` and no `..`");
    }
    if (part.size() > kMaxPartBytes) {
      return PathInvalid("a part of a path has at most 255 bytes");
    }
  }
  return absl::OkStatus();
}

// What is left of the absolute `path` below `root`; nothing when it is not.
absl::string_view BelowRoot(absl::string_view root, absl::string_view path) {
  if (!absl::ConsumePrefix(&path, root)) return {};
  // "/" is the only root that ends in a slash.
  if (root != "/" && !absl::ConsumePrefix(&path, "/")) return {};
  return path;
}

}  // namespace

absl::Status CheckPosixName(absl::string_view name) {
  const bool slash = absl::ConsumePrefix(&name, "/");
  if (!slash || name.empty() || name.size() > kMaxPosixNameBytes ||
      name == "." || name == ".." ||
      !std::all_of(name.begin(), name.end(), IsNameByte)) {
    return InvalidField("segment.posix_name", reason::kPosixNameInvalid,
                        "a name is a slash and 1 to 200 of [A-Za-z0-9._-]");
  }
  return absl::OkStatus();
}

std::string RandomPosixName() {
  return absl::StrCat("/shmd-", UidToHex(RandomUid()));
}

std::string FileLocation::path() const {
  return folder == "." ? name : absl::StrCat(folder, "/", name);
}

absl::StatusOr<FileLocation> LocateFile(const std::vector<std::string>& roots,
                                        absl::string_view path) {
  if (roots.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kFileRootMissing,
                 "the daemon has no root for mapped files (--file_root)");
  }
  FileLocation location;
  location.root = roots.front();
  absl::string_view relative = path;
  if (absl::StartsWith(path, "/")) {
    relative = {};
    for (const std::string& root : roots) {
      const absl::string_view below = BelowRoot(root, path);
      // Of nested roots the innermost.
      if (below.empty() ||
          (!relative.empty() && below.size() >= relative.size())) {
        continue;
      }
      location.root = root;
      relative = below;
    }
    if (relative.empty()) return PathInvalid("it lies below no root");
  }
  RETURN_IF_ERROR(CheckRelativePath(relative));
  const size_t slash = relative.rfind('/');
  if (slash == absl::string_view::npos) {
    location.folder = ".";
    location.name = std::string(relative);
  } else {
    location.folder = std::string(relative.substr(0, slash));
    location.name = std::string(relative.substr(slash + 1));
  }
  return location;
}

}  // namespace shmd
