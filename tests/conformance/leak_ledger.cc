#include "tests/conformance/leak_ledger.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace shmd {
namespace {

// Names and blocks of the entries of `folder` that have `token`.
void CountFolder(const std::string& folder, const std::string& token,
                 const std::string& what,
                 std::map<std::string, size_t>* ledger) {
  size_t& names = (*ledger)[what];
  size_t& blocks = (*ledger)[what + " blocks"];
  DIR* const opened = opendir(folder.c_str());
  if (opened == nullptr) return;
  while (const dirent* entry = readdir(opened)) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name.find(token) == std::string::npos) {
      continue;
    }
    struct stat found = {};
    if (lstat((folder + "/" + name).c_str(), &found) != 0) continue;
    ++names;
    blocks += static_cast<size_t>(found.st_blocks);
  }
  closedir(opened);
}

size_t CountDescriptors() {
  size_t count = 0;
  DIR* const opened = opendir("/proc/self/fd");
  while (opened != nullptr && readdir(opened) != nullptr) ++count;
  if (opened != nullptr) closedir(opened);
  return count;
}

size_t CountSharedMappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  size_t count = 0;
  while (std::getline(maps, line)) {
    std::istringstream words(line);
    std::string range;
    std::string access;
    words >> range >> access;
    if (access.size() == 4 && access[3] == 's') ++count;
  }
  return count;
}

size_t CountSysvSegments() {
  std::ifstream table("/proc/sysvipc/shm");
  std::string line;
  std::getline(table, line);  // the columns' names
  size_t count = 0;
  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string key, id, mode, size;
    pid_t creator = 0;
    words >> key >> id >> mode >> size >> creator;
    if (creator == getpid()) ++count;
  }
  return count;
}

}  // namespace

std::map<std::string, size_t> ReadLedger(const std::string& folder,
                                         const std::string& token) {
  std::map<std::string, size_t> ledger;
  ledger["descriptors"] = CountDescriptors();
  ledger["shared mappings"] = CountSharedMappings();
  ledger["System V segments"] = CountSysvSegments();
  CountFolder("/dev/shm", token, "POSIX objects", &ledger);
  CountFolder(folder, "", "files", &ledger);
  return ledger;
}

}  // namespace shmd
