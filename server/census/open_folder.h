#ifndef SHMD_SERVER_CENSUS_OPEN_FOLDER_H_
#define SHMD_SERVER_CENSUS_OPEN_FOLDER_H_

#include <dirent.h>
#include <fcntl.h>

#include <memory>

#include "base/unique_fd.h"

namespace shmd {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

// What opendir(3) has opened.
using OpenFolder = std::unique_ptr<DIR, CloseFolder>;

// The entries of `name` in `folder`; nullptr, and errno says why.
inline OpenFolder OpenFolderAt(int folder, const char* name) {
  UniqueFd fd(openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  OpenFolder entries(fd.valid() ? fdopendir(fd.get()) : nullptr);
  if (entries != nullptr) fd.Release();  // closedir(3) closes it
  return entries;
}

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_OPEN_FOLDER_H_
