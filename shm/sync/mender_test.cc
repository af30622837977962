// The daemon's part, over memory that a hostile program has filled.

#include "shm/sync/mender.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "gtest/gtest.h"
#include "shm/sync/sync_fixture.h"

namespace shmd {
namespace {

layout::SyncSlot SlotAt(uint64_t offset_bytes, layout::SyncKind kind) {
  layout::SyncSlot slot = {};
  slot.offset_bytes = offset_bytes;
  slot.state = static_cast<uint32_t>(layout::SyncState::kHolding);
  slot.kind = static_cast<uint32_t>(kind);
  slot.counted = 1;
  return slot;
}

TEST(SyncMenderTest, RefusesWhatIsNoPrimitiveWithin) {
  SharedSync shared;
  std::memset(shared.memory(), 0, SharedSync::kMemoryBytes);
  const uint32_t head = layout::SyncHead(layout::SyncKind::kRwLock);
  constexpr uint64_t kLast = SharedSync::kMemoryBytes - 64;
  std::memcpy(shared.memory() + kLast, &head, sizeof(head));
  std::memcpy(shared.memory() + 32, &head, sizeof(head));
  SyncMender mender(shared.memory(), SharedSync::kMemoryBytes);
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{32}, kLast, kLast + 64, UINT64_MAX - 63,
        UINT64_MAX, uint64_t{1} << 63}) {
    EXPECT_EQ(mender.KindAt(offset), layout::SyncKind::kNone) << offset;
    EXPECT_EQ(mender.Mend(SlotAt(offset, layout::SyncKind::kRwLock), 1),
              MendResult::kNothing);
    EXPECT_EQ(mender.Break(offset), MendResult::kNothing);
  }
}

TEST(SyncMenderTest, LeavesWhatOthersOwn) {
  SharedSync shared;
  auto* const at = shared.Make<layout::MutexLayout>(layout::SyncKind::kMutex);
  at->word = 5;
  at->waiters = 0;
  SyncMender mender(shared.memory(), SharedSync::kMemoryBytes);
  EXPECT_EQ(mender.Mend(SlotAt(0, layout::SyncKind::kMutex), 4),
            MendResult::kWoken);
  EXPECT_EQ(at->word, 5u);
  EXPECT_EQ(at->waiters, 0u);
  EXPECT_EQ(mender.Mend(SlotAt(0, layout::SyncKind::kSemaphore), 5),
            MendResult::kNothing);
  EXPECT_EQ(mender.Mend(SlotAt(0, layout::SyncKind::kMutex), 5),
            MendResult::kOwnerDied);
  EXPECT_EQ(at->word, layout::kTorn);
}

TEST(SyncMenderTest, BreaksWhatIsHeld) {
  SharedSync shared;
  auto* const at = shared.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  SyncMender mender(shared.memory(), SharedSync::kMemoryBytes);
  EXPECT_EQ(mender.Break(0), MendResult::kNotHeld);
  at->readers[3] = 9;
  EXPECT_EQ(mender.Break(0), MendResult::kOwnerDied);
  EXPECT_EQ(at->readers[3], 0u);
  at->word = 9;
  EXPECT_EQ(mender.Break(0), MendResult::kOwnerDied);
  EXPECT_EQ(at->word, layout::kTorn);
  at->head = layout::SyncHead(layout::SyncKind::kEvent);
  EXPECT_EQ(mender.Break(0), MendResult::kUnsupported);
  at->head = layout::SyncHead(layout::SyncKind::kBarrier);
  EXPECT_EQ(mender.Break(0), MendResult::kOwnerDied);
  EXPECT_EQ(at->word, layout::kTorn | layout::kBarrierBroken);
}

// A file that its owner has truncated under the daemon's mapping.
TEST(SyncMenderTest, SurvivesMemoryThatIsTakenAway) {
  const int fd = memfd_create("mender", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, 4096), 0);
  void* const memory =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const at = static_cast<layout::MutexLayout*>(memory);
  at->head = layout::SyncHead(layout::SyncKind::kMutex);
  at->word = 3;
  SyncMender mender(memory, 4096);
  EXPECT_EQ(mender.Mend(SlotAt(0, layout::SyncKind::kMutex), 3),
            MendResult::kOwnerDied);
  ASSERT_EQ(ftruncate(fd, 0), 0);
  EXPECT_EQ(mender.Mend(SlotAt(0, layout::SyncKind::kMutex), 3),
            MendResult::kNothing);
  EXPECT_EQ(mender.Break(0), MendResult::kNothing);
  uint32_t* const word = &at->word;
  EXPECT_FALSE(GuardedWords::SetToBit(word, layout::kTornBit));
  EXPECT_FALSE(GuardedWords::Add(word, 1));
  munmap(memory, 4096);
  close(fd);
}

TEST(SyncMenderTest, WritesToNothingButPrimitives) {
  SharedSync shared;
  std::mt19937_64 random(1);
  char before[SharedSync::kMemoryBytes];
  for (int round = 0; round < 2000; ++round) {
    std::memset(shared.memory(), 0, SharedSync::kMemoryBytes);
    const uint64_t offset = random() % 32 * 64;
    const auto kind = layout::SyncKind{
        static_cast<uint8_t>(random() % (layout::kLastSyncKind + 1))};
    for (size_t i = 0; i < SharedSync::kMemoryBytes; i += 4) {
      const auto word = static_cast<uint32_t>(random() % 4);
      std::memcpy(shared.memory() + i, &word, sizeof(word));
    }
    const uint32_t head = layout::SyncHead(kind);
    if (kind != layout::SyncKind::kNone) {
      std::memcpy(shared.memory() + offset, &head, sizeof(head));
    }
    std::memcpy(before, shared.memory(), sizeof(before));
    layout::SyncSlot slot = SlotAt(offset, kind);
    slot.state = static_cast<uint32_t>(random() % 6);
    slot.detail = static_cast<uint32_t>(random());
    SyncMender mender(shared.memory(), SharedSync::kMemoryBytes);
    mender.Mend(slot, static_cast<uint32_t>(1 + random() % 3));
    const uint64_t bytes = layout::SyncBytes(kind);
    EXPECT_EQ(std::memcmp(before, shared.memory(), offset), 0);
    EXPECT_EQ(
        std::memcmp(before + offset + bytes, shared.memory() + offset + bytes,
                    sizeof(before) - offset - bytes),
        0);
  }
}

// All that programs can do about a peer that scribbles is to give up in time.
TEST(SyncMenderTest, ScribblingPeerKeepsNobodyBeyondItsDeadline) {
  SharedSync shared;
  auto* const at = shared.Make<layout::RwLockLayout>(layout::SyncKind::kRwLock);
  uint32_t* const stop = shared.flag(0);
  std::thread hostile([&] {
    std::mt19937_64 random(2);
    while (layout::HostMemory::Load(stop, std::memory_order_acquire) == 0) {
      auto* const words = &at->word;
      const uint64_t draw = random();
      layout::HostMemory::Store(words + draw % 79,
                                static_cast<uint32_t>(draw >> 32),
                                std::memory_order_relaxed);
    }
  });
  Locker locker(shared.page(0), 1);
  BasicRwLock<layout::HostMemory, HostFutex> lock(at, kFirst, &locker);
  BasicSemaphore<layout::HostMemory, HostFutex> semaphore(
      reinterpret_cast<layout::SemaphoreLayout*>(at), kFirst, &locker);
  BasicEvent<layout::HostMemory, HostFutex> event(
      reinterpret_cast<layout::EventLayout*>(at), kFirst, &locker);
  BasicBarrier<layout::HostMemory, HostFutex> barrier(
      reinterpret_cast<layout::BarrierLayout*>(at), kFirst, &locker);
  SyncMender mender(shared.memory(), SharedSync::kMemoryBytes);
  for (int i = 0; i < 30; ++i) {
    SyncHold hold;
    const uint64_t soon = sys::MonotonicNs() + 1'000'000;
    if (IsDone(lock.LockExclusive(&hold, soon))) lock.UnlockExclusive(&hold);
    if (IsDone(lock.LockShared(&hold, soon))) lock.UnlockShared(&hold);
    semaphore.Acquire(soon);
    event.Wait(soon);
    barrier.Wait(soon);
    mender.Mend(SlotAt(0, layout::SyncKind::kRwLock), 1);
  }
  layout::HostMemory::Store(stop, uint32_t{1}, std::memory_order_release);
  hostile.join();
  for (const layout::SyncSlot& slot : shared.page(0)->slots) {
    EXPECT_EQ(slot.state, 0u);
  }
}

}  // namespace
}  // namespace shmd
