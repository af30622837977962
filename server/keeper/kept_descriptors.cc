#include "server/keeper/kept_descriptors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr int kFirstListedFd = 3;  // SD_LISTEN_FDS_START

bool IsSameFile(int a, int b) {
  struct stat first {};
  struct stat second {};
  return fstat(a, &first) == 0 && fstat(b, &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

absl::Status KeptDescriptors::Add(absl::string_view name, UniqueFd fd) {
  const auto [begin, end] = kept_.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    if (IsSameFile(it->second.get(), fd.get())) return absl::OkStatus();
  }
  if (kept_.size() >= max_descriptors_) {
    return Exhausted(reason::kDescriptorsExhausted,
                     "the keeper's RLIMIT_NOFILE", 1, 0, "descriptors");
  }
  if (name_bytes_ + name.size() > kMaxFdNamesBytes) {
    return Exhausted(reason::kDescriptorsExhausted, "LISTEN_FDNAMES",
                     name.size(), kMaxFdNamesBytes - name_bytes_);
  }
  name_bytes_ += name.size() + 1;
  kept_.emplace(std::string(name), std::move(fd));
  return absl::OkStatus();
}

void KeptDescriptors::Remove(absl::string_view name) {
  const auto [begin, end] = kept_.equal_range(name);
  for (auto it = begin; it != end; ++it) name_bytes_ -= it->first.size() + 1;
  kept_.erase(begin, end);
}

std::vector<KeptDescriptors::Listed> KeptDescriptors::List() const {
  std::vector<Listed> listed;
  listed.reserve(kept_.size());
  for (const auto& [name, fd] : kept_) listed.push_back({fd.get(), name});
  std::sort(listed.begin(), listed.end(),
            [](const Listed& a, const Listed& b) { return a.fd < b.fd; });
  return listed;
}

bool MoveToListedNumbers(const std::vector<KeptDescriptors::Listed>& listed) {
  int target = kFirstListedFd;
  // By rising number, so each moves down or stays, and onto none that is still
  // to be moved: no spare descriptor is needed.
  for (const KeptDescriptors::Listed& kept : listed) {
    if (kept.fd == target) {
      if (fcntl(target, F_SETFD, 0) != 0) return false;
    } else {
      if (dup2(kept.fd, target) < 0) return false;
      close(kept.fd);
    }
    ++target;
  }
  return true;
}

}  // namespace shmd
