#ifndef SHMD_SERVER_REGISTRY_INDEX_KEY_H_
#define SHMD_SERVER_REGISTRY_INDEX_KEY_H_

#include <algorithm>
#include <cstring>

#include "absl/strings/string_view.h"
#include "server/registry/names.h"

namespace shmd {

// The registry's key of a name: "namespace/id". Without a heap, for names of
// the lengths that are allowed.
class IndexKey {
 public:
  explicit IndexKey(const SegmentName& name) {
    Append(name.name_space, kMaxNamespaceBytes);
    Append("/", 1);
    Append(name.id, kMaxSegmentIdBytes);
  }

  absl::string_view view() const { return {bytes_, size_}; }

 private:
  // No name has more bytes.
  void Append(absl::string_view part, size_t most_bytes) {
    const size_t bytes = std::min(part.size(), most_bytes);
    std::memcpy(bytes_ + size_, part.data(), bytes);
    size_ += bytes;
  }

  size_t size_ = 0;
  char bytes_[kMaxNamespaceBytes + 1 + kMaxSegmentIdBytes];
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_INDEX_KEY_H_
