#ifndef SHMD_CLIENT_CPP_RECENT_WRITES_H_
#define SHMD_CLIENT_CPP_RECENT_WRITES_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace shmd {
inline namespace client {

// Which places a program has written of late, so that a cache may still have
// them: a guess, for speed only. Thread-safe, without a lock; threads that
// write at once may spoil each other's guesses.
class RecentWrites {
 public:
  // Some of the last-level cache: what others use of it nobody knows.
  static constexpr uint64_t kRecentBytes = 16 << 20;
  // Smaller ones are not worth it.
  static constexpr uint64_t kLeastBytes = 64 << 10;

  // That so much is about to be written at `place`. Whether it was written
  // before, with no more than kRecentBytes since.
  bool Note(const void* place, uint64_t size_bytes) {
    const auto address = reinterpret_cast<uintptr_t>(place);
    const uint64_t written_bytes =
        written_bytes_.fetch_add(size_bytes, std::memory_order_relaxed) +
        size_bytes;
    Slot& slot = slots_[address / kLeastBytes * kMultiplier >> kSlotShift];
    const bool is_recent =
        slot.address.exchange(address, std::memory_order_relaxed) == address &&
        written_bytes - slot.written_bytes.load(std::memory_order_relaxed) <=
            kRecentBytes + size_bytes;
    slot.written_bytes.store(written_bytes, std::memory_order_relaxed);
    return is_recent;
  }

 private:
  // Twice as many as there can be places among the last kRecentBytes.
  static constexpr int kSlotShift = 64 - 9;
  static constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;

  struct Slot {
    std::atomic<uintptr_t> address{0};
    std::atomic<uint64_t> written_bytes{0};  // by the end of that write
  };

  std::array<Slot, size_t{1} << (64 - kSlotShift)> slots_ = {};
  std::atomic<uint64_t> written_bytes_{0};
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_RECENT_WRITES_H_
