#ifndef SHMD_CLIENT_CPP_ARENA_VIEWS_H_
#define SHMD_CLIENT_CPP_ARENA_VIEWS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "client/cpp/attached.h"

namespace shmd {
inline namespace client {

// Where an arena is mapped in this program.
struct alignas(16) ArenaView {
  const char* data = nullptr;
  uint64_t size_bytes = 0;
  ReadOnlyAttached attached;  // of an arena that another program writes
};

// The arenas that this program has mapped, by their numbers, which only grow.
// Find takes no lock: it looks into one slot for many numbers, which has the
// whole number beside the view, so that it is never another arena's. The other
// methods need a mutex of the caller's.
class ArenaViews {
 public:
  static constexpr uint32_t kSlots = 4096;

  // Null when it is not there, or another arena has its slot: FindAnywhere.
  const ArenaView* Find(uint32_t arena) const {
    const uint64_t word =
        slots_[arena % kSlots].load(std::memory_order_acquire);
    if ((word & ~kViewBits) != TagOf(arena)) return nullptr;
    // SAFETY: Remember has put a view's address there, or 0.
    return reinterpret_cast<const ArenaView*>(word & kViewBits);
  }

  // Also gives it its slot again.
  const ArenaView* FindAnywhere(uint32_t arena) {
    const auto found = views_.find(arena);
    if (found == views_.end()) return nullptr;
    Remember(arena, found->second.get());
    return found->second.get();
  }

  const ArenaView* Add(uint32_t arena, std::unique_ptr<ArenaView> view) {
    const ArenaView* const added =
        views_.insert_or_assign(arena, std::move(view)).first->second.get();
    Remember(arena, added);
    return added;
  }

  // Takes it out; null when it is not there. Nobody may use it any more.
  std::unique_ptr<ArenaView> Take(uint32_t arena) {
    const auto found = views_.find(arena);
    if (found == views_.end()) return nullptr;
    if (Find(arena) != nullptr) {
      slots_[arena % kSlots].store(0, std::memory_order_release);
    }
    std::unique_ptr<ArenaView> taken = std::move(found->second);
    views_.erase(found);
    return taken;
  }

 private:
  // A program's addresses have 47 bits (x86-64, without asking for more), and
  // views are at multiples of 16: 20 bits are left for what of a number does
  // not choose its slot.
  static constexpr uint64_t kViewBits = 0x0000FFFFFFFFFFF0;
  static constexpr uint32_t kLowTagBits = 4;

  static uint64_t TagOf(uint32_t arena) {
    const uint64_t tag = arena / kSlots;
    return (tag >> kLowTagBits) << 48 | (tag & 0xF);
  }

  void Remember(uint32_t arena, const ArenaView* view) {
    const auto address = reinterpret_cast<uintptr_t>(view);
    if ((address & ~kViewBits) != 0) return;
    slots_[arena % kSlots].store(address | TagOf(arena),
                                 std::memory_order_release);
  }

  std::array<std::atomic<uint64_t>, kSlots> slots_ = {};
  absl::flat_hash_map<uint32_t, std::unique_ptr<ArenaView>> views_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_ARENA_VIEWS_H_
