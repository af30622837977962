#ifndef SHMD_SERVER_CHANNEL_MEMBER_MEMORY_H_
#define SHMD_SERVER_CHANNEL_MEMBER_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "server/registry/segment_entry.h"
#include "shm/layout/memory_word.h"
#include "shm/sys/memory.h"

namespace shmd {

// A word that somebody else may write at any time.
template <typename Word>
Word ReadWord(const Word& word) {
  return layout::HostMemory::Load(&word, std::memory_order_acquire);
}

// The first bytes of a member's segment, which are there for sure, mapped for
// reading alone. Takes no descriptor.
class MemberMemory {
 public:
  MemberMemory(const SegmentView& view, uint64_t size_bytes) {
    sys::MmapRequest request;
    request.fd = view.entry->object.memfd.get();
    request.length_bytes = size_bytes;
    absl::StatusOr<sys::ScopedMmap> mapped = sys::ScopedMmap::Map(request);
    if (mapped.ok()) mapping_ = *std::move(mapped);
  }
  // Null when there was no room for it.
  const char* data() const { return static_cast<const char*>(mapping_.data()); }

 private:
  sys::ScopedMmap mapping_;
};

// The same as what it is; nothing but trivial types.
template <typename T>
class MemberHead {
 public:
  explicit MemberHead(const SegmentView& view) : memory_(view, sizeof(T)) {}
  const T* get() const { return reinterpret_cast<const T*>(memory_.data()); }

 private:
  MemberMemory memory_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_MEMBER_MEMORY_H_
