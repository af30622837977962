#ifndef SHMD_SHM_SYNC_SYNC_FIXTURE_H_
#define SHMD_SHM_SYNC_SYNC_FIXTURE_H_

#include <cstring>

#include "gtest/gtest.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/mender.h"
#include "shm/sync/mutex.h"
#include "shm/sync/rw_lock.h"
#include "shm/sync/semaphore.h"
#include "shm/sync/seq_value.h"
#include "shm/sys/memory.h"

namespace shmd {

// For tests: memory that two sessions share, with a page for each, and with
// children too. Zeros at first.
class SharedSync {
 public:
  static constexpr size_t kMemoryBytes = 4096;
  static constexpr uint64_t kGeneration = 7;

  SharedSync() {
    sys::MmapRequest request;
    request.anonymous = true;
    request.writable = true;
    request.length_bytes = sizeof(Contents);
    absl::StatusOr<sys::ScopedMmap> mapped = sys::ScopedMmap::Map(request);
    EXPECT_TRUE(mapped.ok()) << mapped.status();
    if (mapped.ok()) mapping_ = *std::move(mapped);
  }

  // The primitive at the start, of its kind from now on.
  template <typename Layout>
  Layout* Make(layout::SyncKind kind) {
    auto* const at = reinterpret_cast<Layout*>(contents()->memory);
    EXPECT_TRUE(PublishHead<layout::HostMemory>(&at->head, kind));
    return at;
  }

  char* memory() const { return contents()->memory; }
  layout::SyncPage* page(int session) const {
    return &contents()->pages[session];
  }
  // For what processes tell each other in a test.
  uint32_t* flag(int number) const { return &contents()->flags[number]; }

  // What the daemon does when a session has ended. How many slots it had left.
  int Mend(int session, uint32_t locker) const {
    SyncMender mender(memory(), kMemoryBytes);
    int left = 0;
    for (const layout::SyncSlot& slot : page(session)->slots) {
      if (slot.state == 0) continue;
      ++left;
      mender.Mend(slot, locker);
    }
    return left;
  }

 private:
  struct Contents {
    char memory[kMemoryBytes];
    layout::SyncPage pages[2];
    uint32_t flags[16];
  };
  Contents* contents() const { return static_cast<Contents*>(mapping_.data()); }

  sys::ScopedMmap mapping_;
};

inline uint64_t SoonNs() { return sys::MonotonicNs() + 20'000'000; }

// At the start of the memory.
inline constexpr SyncPlace kFirst = {SharedSync::kGeneration, 0};

}  // namespace shmd

#endif  // SHMD_SHM_SYNC_SYNC_FIXTURE_H_
