#ifndef SHMD_SERVER_REGISTRY_INDEX_KEY_H_
#define SHMD_SERVER_REGISTRY_INDEX_KEY_H_

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "server/registry/names.h"

namespace shmd {

// The registry's key of a name: "namespace/id". Without a heap, for names of
// the lengths that are allowed.
class IndexKey {
 public:
  explicit IndexKey(const SegmentName& name)
      : bytes_(name.name_space.begin(), name.name_space.end()) {
    bytes_.push_back('/');
    bytes_.insert(bytes_.end(), name.id.begin(), name.id.end());
  }

  absl::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  absl::InlinedVector<char, kMaxNamespaceBytes + 1 + kMaxSegmentIdBytes> bytes_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_INDEX_KEY_H_
