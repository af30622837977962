#ifndef SHMD_SERVER_KEEPER_KEPT_DESCRIPTORS_H_
#define SHMD_SERVER_KEEPER_KEPT_DESCRIPTORS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "server/keeper/notification.h"

namespace shmd {

// What the keeper keeps: descriptors by name, several of one name if a daemon
// wants that. Never more than can be handed on: by number, and by what their
// names take in $LISTEN_FDNAMES. Not thread-safe.
class KeptDescriptors {
 public:
  explicit KeptDescriptors(size_t max_descriptors)
      : max_descriptors_(max_descriptors) {}

  // Keeps `fd` as `name`; closes it where that name has the same file already,
  // so that a message said twice keeps one. RESOURCE_EXHAUSTED beyond the
  // limits, and `fd` is closed.
  absl::Status Add(absl::string_view name, UniqueFd fd);

  // Closes all of `name`.
  void Remove(absl::string_view name);

  size_t size() const { return kept_.size(); }
  size_t max_descriptors() const { return max_descriptors_; }

  // All of them by rising number.
  struct Listed {
    int fd = -1;
    absl::string_view name;  // valid until the next change
  };
  std::vector<Listed> List() const;

 private:
  size_t max_descriptors_;
  size_t name_bytes_ = 0;  // a separator with each
  std::multimap<std::string, UniqueFd, std::less<>> kept_;
};

// For a child of a process that keeps `listed`: makes them its descriptors 3,
// 4, 5 and so on, without close-on-exec, whatever was there. False, with
// errno, when the kernel refuses.
bool MoveToListedNumbers(const std::vector<KeptDescriptors::Listed>& listed);

}  // namespace shmd

#endif  // SHMD_SERVER_KEEPER_KEPT_DESCRIPTORS_H_
