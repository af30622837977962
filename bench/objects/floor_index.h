#ifndef SHMD_BENCH_OBJECTS_FLOOR_INDEX_H_
#define SHMD_BENCH_OBJECTS_FLOOR_INDEX_H_

#include <atomic>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "shm/sys/memory.h"

namespace shmd::bench {

// The least that an index of names in shared memory can be: open addressing
// over slots of one cache line, each with a sequence lock, names of at most 40
// bytes. No deletion, no growth, no check of anything, no protection from a
// writer that dies.
class FloorIndex {
 public:
  // For so many names at most half of the slots are used.
  explicit FloorIndex(uint64_t names) {
    uint64_t slots = 256;
    while (slots < names * 2) slots *= 2;
    mask_ = slots - 1;
    sys::MmapRequest request;
    request.length_bytes = slots * sizeof(Slot);
    request.writable = true;
    request.anonymous = true;
    mapping_ = *sys::ScopedMmap::Map(request);
    slots_ = static_cast<Slot*>(mapping_.data());
  }

  void Put(absl::string_view name, uint64_t value) {
    const uint64_t hash = Hash(name);
    for (uint64_t i = hash;; ++i) {
      Slot& slot = slots_[i & mask_];
      if (slot.sequence.load(std::memory_order_relaxed) != 0) continue;
      slot.sequence.store(1, std::memory_order_relaxed);
      slot.length = static_cast<uint32_t>(name.size());
      slot.hash = hash;
      slot.value = value;
      std::memcpy(slot.name, name.data(), name.size());
      slot.sequence.store(2, std::memory_order_release);
      return;
    }
  }

  // 0 when there is none.
  uint64_t Find(absl::string_view name) const {
    const uint64_t hash = Hash(name);
    for (uint64_t i = hash;; ++i) {
      const Slot& slot = slots_[i & mask_];
      for (;;) {
        const uint32_t before = slot.sequence.load(std::memory_order_acquire);
        if (before == 0) return 0;
        if ((before & 1) != 0) continue;
        const bool hit = slot.hash == hash && slot.length == name.size() &&
                         memcmp(slot.name, name.data(), name.size()) == 0;
        const uint64_t value = slot.value;
        std::atomic_thread_fence(std::memory_order_acquire);
        if (slot.sequence.load(std::memory_order_relaxed) != before) continue;
        if (hit) return value;
        break;
      }
    }
  }

 private:
  struct alignas(64) Slot {
    std::atomic<uint32_t> sequence;
    uint32_t length;
    uint64_t hash;
    uint64_t value;
    char name[40];
  };

  static uint64_t Hash(absl::string_view name) {
    const char* bytes = name.data();
    size_t left = name.size();
    uint64_t hash = 0x9E3779B97F4A7C15 ^ left;
    for (; left >= 8; left -= 8, bytes += 8) {
      uint64_t word = 0;
      std::memcpy(&word, bytes, 8);
      hash = (hash ^ word) * 0xFF51AFD7ED558CCD;
      hash ^= hash >> 32;
    }
    uint64_t word = 0;
    std::memcpy(&word, bytes, left);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCD;
    return hash ^ (hash >> 29);
  }

  sys::ScopedMmap mapping_;
  Slot* slots_ = nullptr;
  uint64_t mask_ = 0;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_FLOOR_INDEX_H_
