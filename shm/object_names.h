#ifndef SHMD_SHM_OBJECT_NAMES_H_
#define SHMD_SHM_OBJECT_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace shmd {

// POSIX_NAME_INVALID unless `name` is a slash and 1 to 200 of [A-Za-z0-9._-],
// not "/." or "/..".
absl::Status CheckPosixName(absl::string_view name);

// A name that nobody can guess.
std::string RandomPosixName();

// A file below one of the daemon's roots.
struct FileLocation {
  std::string root;          // absolute
  std::string folder;        // relative to root; "." for root itself
  std::string name;          // in folder
  std::string path() const;  // relative to root
};

// Where `path` leads by its text alone: relative to the first root, or absolute
// below any. FILE_ROOT_MISSING without roots; FILE_PATH_INVALID for what is
// empty, too long, leads elsewhere, or is not in its shortest form.
absl::StatusOr<FileLocation> LocateFile(const std::vector<std::string>& roots,
                                        absl::string_view path);

}  // namespace shmd

#endif  // SHMD_SHM_OBJECT_NAMES_H_
