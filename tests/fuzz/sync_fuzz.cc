// What the daemon does for the dead in memory that programs write, where any
// bytes may stand: it changes nothing but the primitive, and looks at nothing
// beyond the segment.

#include <cstring>
#include <string>
#include <vector>

#include "shm/layout/sync_layout.h"
#include "shm/sync/mender.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/hostile_memory.h"

namespace shmd {
namespace {

// As the kernel does it, where an address sanitizer sees it.
struct PlainWords {
  static bool Load(const uint32_t* word, uint32_t* value) {
    *value = HostileMemory::Load(word, std::memory_order_relaxed);
    return true;
  }
  static bool SetToBit(uint32_t* word, int bit) {
    *word = uint32_t{1} << bit;
    return true;
  }
  static bool Clear(uint32_t* word) {
    *word = 0;
    return true;
  }
  static bool OrBit(uint32_t* word, int bit) {
    *word |= uint32_t{1} << bit;
    return true;
  }
  static bool Add(uint32_t* word, int value) {
    *word += static_cast<uint32_t>(value);
    return true;
  }
  static void WakeAll(const uint32_t* word) {
    layout::HostMemory::Load(word, std::memory_order_relaxed);
  }
};

// A segment of whole words, at a multiple of 64.
std::vector<layout::MutexLayout> MemoryOf(absl::string_view bytes) {
  std::vector<layout::MutexLayout> memory(bytes.size() /
                                          sizeof(layout::MutexLayout));
  if (!memory.empty()) {
    std::memcpy(static_cast<void*>(memory.data()), bytes.data(),
                memory.size() * sizeof(layout::MutexLayout));
  }
  return memory;
}

void Mend(FuzzInput input) {
  HostileMemory::SetScript(input.TakePiece());
  HostileMemory::NextCall();
  const absl::string_view said = input.TakePiece();
  layout::SyncSlot slot = {};
  std::memcpy(&slot, said.data(), std::min(said.size(), sizeof(slot)));
  const bool is_break = input.TakeByte() % 2 == 1;
  uint32_t locker = 1 + input.TakeByte();
  std::vector<layout::MutexLayout> memory = MemoryOf(input.TakeRest());
  const std::vector<layout::MutexLayout> before = memory;
  const uint64_t bytes = memory.size() * sizeof(layout::MutexLayout);
  BasicSyncMender<PlainWords> mender(memory.data(), bytes);
  if (is_break) {
    mender.Break(slot.offset_bytes);
  } else {
    mender.Mend(slot, locker);
  }
  // What may have changed: of the largest primitive, as a script may tell of
  // another kind than is there.
  const uint64_t most = sizeof(layout::RwLockLayout);
  for (uint64_t at = 0; at < bytes; at += sizeof(layout::MutexLayout)) {
    const bool is_within =
        at >= slot.offset_bytes && at - slot.offset_bytes < most;
    Expect(is_within ||
           std::memcmp(reinterpret_cast<const char*>(memory.data()) + at,
                       reinterpret_cast<const char*>(before.data()) + at,
                       sizeof(layout::MutexLayout)) == 0);
  }
}

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::Mend(shmd::FuzzInput(data, size));
  return 0;
}
