#include "base/boot_id.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/unique_fd.h"

namespace shmd {

BootId ReadBootId() {
  BootId boot_id = {};
  const UniqueFd fd(
      open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[64];
  const ssize_t length = read(fd.get(), text, sizeof(text));
  if (length <= 0) return boot_id;
  std::string digits(text, static_cast<size_t>(length));
  digits.erase(std::remove_if(digits.begin(), digits.end(),
                              [](char c) { return !absl::ascii_isxdigit(c); }),
               digits.end());
  const std::string bytes = absl::HexStringToBytes(digits);
  if (bytes.size() == boot_id.size()) {
    std::copy(bytes.begin(), bytes.end(), boot_id.begin());
  }
  return boot_id;
}

}  // namespace shmd
