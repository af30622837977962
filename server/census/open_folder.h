#ifndef SHMD_SERVER_CENSUS_OPEN_FOLDER_H_
#define SHMD_SERVER_CENSUS_OPEN_FOLDER_H_

#include <dirent.h>

#include <memory>

namespace shmd {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

// What opendir(3) has opened.
using OpenFolder = std::unique_ptr<DIR, CloseFolder>;

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_OPEN_FOLDER_H_
