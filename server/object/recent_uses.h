#ifndef SHMD_SERVER_OBJECT_RECENT_USES_H_
#define SHMD_SERVER_OBJECT_RECENT_USES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"

namespace shmd {

// When each entry of a directory was used last, in the order of what the
// daemon learned. In private memory: nobody can write to it but through the
// daemon's own checks. Not thread-safe.
class UseOrder {
 public:
  // Grows with the largest position, so it has to be that of an entry.
  void Touch(uint32_t position) {
    if (position >= last_uses_.size()) last_uses_.resize(position + 1);
    last_uses_[position] = ++last_use_;
  }
  // Later uses have larger numbers; 0: of none is known.
  uint64_t LastUse(uint32_t position) const {
    return position < last_uses_.size() ? last_uses_[position] : 0;
  }
  // An object has moved from one entry to another.
  void Move(uint32_t from, uint32_t to) {
    const uint64_t last_use = LastUse(from);
    if (to >= last_uses_.size()) last_uses_.resize(to + 1);
    last_uses_[to] = last_use;
  }

 private:
  uint64_t last_use_ = 0;
  std::vector<uint64_t> last_uses_;
};

// Reads what a session says it has pinned of late, from where it was read last.
// The page may say anything: each word is read once, and what comes out may be
// any numbers, at most layout::kRecentUses of them, the oldest first.
class RecentReader {
 public:
  template <typename Visit>
  void Read(const layout::SessionHeader& header, Visit visit) {
    const uint64_t count = layout::HostMemory::Load(&header.recent_count,
                                                    std::memory_order_acquire);
    // Modulo 2^64: a count that went back is as good as many new ones.
    const uint64_t fresh = std::min(count - read_, layout::kRecentUses);
    for (uint64_t i = count - fresh; i != count; ++i) {
      visit(layout::HostMemory::Load(&header.recent[i % layout::kRecentUses],
                                     std::memory_order_relaxed));
    }
    read_ = count;
  }

 private:
  uint64_t read_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_RECENT_USES_H_
