#ifndef SHMD_SERVER_CHANNEL_MEMBER_HEAD_H_
#define SHMD_SERVER_CHANNEL_MEMBER_HEAD_H_

#include <atomic>
#include <utility>

#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"
#include "shm/layout/memory_word.h"
#include "shm/mapping.h"

namespace shmd {

// A word that somebody else may write at any time.
template <typename Word>
Word ReadWord(const Word& word) {
  return layout::HostMemory::Load(&word, std::memory_order_acquire);
}

// The first sizeof(T) bytes of a member's segment, for reading alone. It cannot
// get smaller.
template <typename T>
class MemberHead {
 public:
  MemberHead(const SegmentRegistry& segments, const SegmentView& view) {
    absl::StatusOr<ReadOnlyMapping> mapped = Map(segments, view);
    if (mapped.ok()) mapping_ = *std::move(mapped);
  }
  // Null when it could not be mapped.
  const T* get() const {
    return mapping_.size_bytes() < sizeof(T) ? nullptr
                                             : mapping_.As<T>().data();
  }

 private:
  static absl::StatusOr<ReadOnlyMapping> Map(const SegmentRegistry& segments,
                                             const SegmentView& view) {
    ASSIGN_OR_RETURN(const ObjectRef object,
                     segments.OpenObject(view, Access::kRead));
    MapOptions options;
    options.size_bytes = view.segment->options.size_bytes;
    options.length_bytes = sizeof(T);
    return ReadOnlyMapping::Map(object, options);
  }

  ReadOnlyMapping mapping_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_MEMBER_HEAD_H_
