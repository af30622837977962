#ifndef SHMD_SHM_LAYOUT_SYNC_LAYOUT_H_
#define SHMD_SHM_LAYOUT_SYNC_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace shmd::layout {

// What guards memory that several programs write: primitives that need atomic
// words of 32 bits and futex(2) alone, each at a multiple of 64 bytes in a
// segment. docs/memory_layout.md says who stores what when.
//
// Every primitive begins with
//     0       4       8
//     ┌───────┬───────┬─────────┬─ ─
//     │ head  │ word  │ waiters │ its own
//     └───────┴───────┴─────────┴─ ─
// `head` says what it is, and is stored last when it is made; programs sleep
// on `word`; `waiters` counts those that do, or are about to: who wakes makes
// no system call while it is 0. Zeros are the state that nobody has touched.

enum class SyncKind : uint8_t {
  kNone = 0,
  kMutex = 1,
  kRwLock = 2,
  kSemaphore = 3,
  kEvent = 4,
  kBarrier = 5,
  kCondition = 6,
  kSeqValue = 7,
};
inline constexpr uint8_t kLastSyncKind = 7;

inline constexpr uint32_t kSyncVersion = 1;
inline constexpr uint64_t kSyncAlignment = 64;

// Bits 0-7 the version, 8-15 the kind, 16-31 "SY": what is no primitive, or
// another one, is told.
constexpr uint32_t SyncHead(SyncKind kind) {
  return 0x59530000u | uint32_t{static_cast<uint8_t>(kind)} << 8 | kSyncVersion;
}
constexpr SyncKind SyncKindOf(uint32_t head) {
  const auto kind = static_cast<uint8_t>(head >> 8);
  return kind <= kLastSyncKind && head == SyncHead(SyncKind{kind})
             ? SyncKind{kind}
             : SyncKind::kNone;
}

// The word of what has an owner: bits 0-28 its locker, 0 for nobody. An owner
// died, or was made to let go, and what the primitive guards may be torn: stays
// until an owner has said that it is whole.
inline constexpr uint32_t kLockerMask = (uint32_t{1} << 29) - 1;
inline constexpr int kTornBit = 30;
inline constexpr uint32_t kTorn = uint32_t{1} << kTornBit;

struct alignas(kSyncAlignment) MutexLayout {
  uint32_t head;
  uint32_t word;  // the owner
  uint32_t waiters;
  uint32_t unused[13];
};
static_assert(sizeof(MutexLayout) == 64);
static_assert(alignof(MutexLayout) == 64);
static_assert(std::is_trivially_copyable_v<MutexLayout>);
static_assert(offsetof(MutexLayout, head) == 0);
static_assert(offsetof(MutexLayout, word) == 4);
static_assert(offsetof(MutexLayout, waiters) == 8);
static_assert(offsetof(MutexLayout, unused) == 12);

inline constexpr uint32_t kRwReaders = 64;

struct alignas(kSyncAlignment) RwLockLayout {
  uint32_t head;
  uint32_t word;  // the writer
  uint32_t waiters;
  uint32_t left;         // goes up when a reader has left that was waited for
  uint32_t left_wanted;  // not 0: somebody sleeps on `left`, or is about to
  uint32_t unused[11];
  uint32_t readers[kRwReaders];  // the locker of each; 0: free
};
static_assert(sizeof(RwLockLayout) == 320);
static_assert(alignof(RwLockLayout) == 64);
static_assert(std::is_trivially_copyable_v<RwLockLayout>);
static_assert(offsetof(RwLockLayout, head) == 0);
static_assert(offsetof(RwLockLayout, word) == 4);
static_assert(offsetof(RwLockLayout, waiters) == 8);
static_assert(offsetof(RwLockLayout, left) == 12);
static_assert(offsetof(RwLockLayout, left_wanted) == 16);
static_assert(offsetof(RwLockLayout, unused) == 20);
static_assert(offsetof(RwLockLayout, readers) == 64);

inline constexpr uint32_t kMaxSemaphoreCount = 0x7FFFFFFF;

struct alignas(kSyncAlignment) SemaphoreLayout {
  uint32_t head;
  uint32_t word;  // the count
  uint32_t waiters;
  uint32_t unused[13];
};
static_assert(sizeof(SemaphoreLayout) == 64);
static_assert(alignof(SemaphoreLayout) == 64);
static_assert(std::is_trivially_copyable_v<SemaphoreLayout>);
static_assert(offsetof(SemaphoreLayout, head) == 0);
static_assert(offsetof(SemaphoreLayout, word) == 4);
static_assert(offsetof(SemaphoreLayout, waiters) == 8);
static_assert(offsetof(SemaphoreLayout, unused) == 12);

enum class EventReset : uint32_t { kManual = 0, kAutomatic = 1 };

// Bit 0 of an event's word: set. Bits 1-31 count how often it was.
inline constexpr uint32_t kEventSet = 1;

struct alignas(kSyncAlignment) EventLayout {
  uint32_t head;
  uint32_t word;
  uint32_t waiters;
  uint32_t reset;  // EventReset
  uint32_t unused[12];
};
static_assert(sizeof(EventLayout) == 64);
static_assert(alignof(EventLayout) == 64);
static_assert(std::is_trivially_copyable_v<EventLayout>);
static_assert(offsetof(EventLayout, head) == 0);
static_assert(offsetof(EventLayout, word) == 4);
static_assert(offsetof(EventLayout, waiters) == 8);
static_assert(offsetof(EventLayout, reset) == 12);
static_assert(offsetof(EventLayout, unused) == 16);

inline constexpr uint32_t kMaxBarrierParties = 0xFFFF;
inline constexpr int kBarrierBrokenBit = 31;
inline constexpr uint32_t kBarrierBroken = uint32_t{1} << kBarrierBrokenBit;

// Bits 0-15 of a barrier's word: how many have arrived; 16-30 the round; 31:
// somebody died in it, and nobody gets through until it is reset.
constexpr uint32_t BarrierArrived(uint32_t word) { return word & 0xFFFF; }
constexpr uint32_t BarrierRound(uint32_t word) { return word >> 16 & 0x7FFF; }
constexpr uint32_t BarrierNextRound(uint32_t word) {
  return ((BarrierRound(word) + 1) & 0x7FFF) << 16;
}

struct alignas(kSyncAlignment) BarrierLayout {
  uint32_t head;
  uint32_t word;
  uint32_t waiters;
  uint32_t parties;  // how many have to arrive
  uint32_t resets;   // how often it was reset
  uint32_t unused[11];
};
static_assert(sizeof(BarrierLayout) == 64);
static_assert(alignof(BarrierLayout) == 64);
static_assert(std::is_trivially_copyable_v<BarrierLayout>);
static_assert(offsetof(BarrierLayout, head) == 0);
static_assert(offsetof(BarrierLayout, word) == 4);
static_assert(offsetof(BarrierLayout, waiters) == 8);
static_assert(offsetof(BarrierLayout, parties) == 12);
static_assert(offsetof(BarrierLayout, resets) == 16);
static_assert(offsetof(BarrierLayout, unused) == 20);

struct alignas(kSyncAlignment) ConditionLayout {
  uint32_t head;
  uint32_t word;  // how often it was signalled
  uint32_t waiters;
  uint32_t unused[13];
};
static_assert(sizeof(ConditionLayout) == 64);
static_assert(alignof(ConditionLayout) == 64);
static_assert(std::is_trivially_copyable_v<ConditionLayout>);
static_assert(offsetof(ConditionLayout, head) == 0);
static_assert(offsetof(ConditionLayout, word) == 4);
static_assert(offsetof(ConditionLayout, waiters) == 8);
static_assert(offsetof(ConditionLayout, unused) == 12);

inline constexpr uint32_t kMaxSeqValueBytes = 1 << 20;

// Two copies of the value follow, each of whole lines. `sequence` modulo 2
// says which is current; the writer fills the other one.
struct alignas(kSyncAlignment) SeqValueLayout {
  uint32_t head;
  uint32_t word;  // the writer
  uint32_t waiters;
  uint32_t value_bytes;
  uint32_t unused[12];
  uint32_t sequence;
  uint32_t unused_line[15];
};
static_assert(sizeof(SeqValueLayout) == 128);
static_assert(alignof(SeqValueLayout) == 64);
static_assert(std::is_trivially_copyable_v<SeqValueLayout>);
static_assert(offsetof(SeqValueLayout, head) == 0);
static_assert(offsetof(SeqValueLayout, word) == 4);
static_assert(offsetof(SeqValueLayout, waiters) == 8);
static_assert(offsetof(SeqValueLayout, value_bytes) == 12);
static_assert(offsetof(SeqValueLayout, unused) == 16);
static_assert(offsetof(SeqValueLayout, sequence) == 64);
static_assert(offsetof(SeqValueLayout, unused_line) == 68);

constexpr uint64_t SeqCopyBytes(uint32_t value_bytes) {
  return (uint64_t{value_bytes} + kSyncAlignment - 1) / kSyncAlignment *
         kSyncAlignment;
}

// Bytes that a primitive takes; without the copies of a value.
constexpr uint64_t SyncBytes(SyncKind kind) {
  if (kind == SyncKind::kRwLock) return sizeof(RwLockLayout);
  if (kind == SyncKind::kSeqValue) return sizeof(SeqValueLayout);
  return kind == SyncKind::kNone ? 0 : kSyncAlignment;
}

// What a session holds and waits for: a memfd that its program alone writes.
// The daemon reads it when the session has ended, and to show it; it believes
// nothing in it.
//     0        4096                       69632
//     ┌────────┬──────────────────────────┐
//     │ header │ 1024 slots of 64 bytes   │
//     └────────┴──────────────────────────┘

inline constexpr uint64_t kSyncPageMagic = 0x434E5953444D4853;  // "SHMDSYNC"
inline constexpr uint32_t kSyncPageVersion = 1;
inline constexpr uint32_t kSyncSlots = 1024;

struct SyncPageHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t locker;  // what words in segments name this session by
  uint8_t reserved[4080];
};
static_assert(sizeof(SyncPageHeader) == 4096);
static_assert(alignof(SyncPageHeader) == 8);
static_assert(std::is_trivially_copyable_v<SyncPageHeader>);
static_assert(offsetof(SyncPageHeader, magic) == 0);
static_assert(offsetof(SyncPageHeader, version) == 8);
static_assert(offsetof(SyncPageHeader, locker) == 12);
static_assert(offsetof(SyncPageHeader, reserved) == 16);

enum class SyncState : uint32_t {
  kFree = 0,
  kWaiting = 1,  // wants it; may have it already
  kHolding = 2,
  kWaking = 3,  // lets others in, or lets go
};
inline constexpr uint32_t kLastSyncState = 3;

// Written before the primitive is, and freed after: at whichever store the
// program dies, a slot names what it was at. `state` is stored last.
struct SyncSlot {
  uint64_t generation;  // of the segment
  uint64_t offset_bytes;
  uint32_t state;     // SyncState
  uint32_t kind;      // SyncKind
  uint32_t thread;    // for people
  uint32_t detail;    // of a barrier: the round; of a lock: 1 to read
  uint64_t since_ns;  // CLOCK_MONOTONIC
  uint32_t counted;   // not 0: in the primitive's `waiters`
  uint32_t unused[5];
};
static_assert(sizeof(SyncSlot) == 64);
static_assert(alignof(SyncSlot) == 8);
static_assert(std::is_trivially_copyable_v<SyncSlot>);
static_assert(offsetof(SyncSlot, generation) == 0);
static_assert(offsetof(SyncSlot, offset_bytes) == 8);
static_assert(offsetof(SyncSlot, state) == 16);
static_assert(offsetof(SyncSlot, kind) == 20);
static_assert(offsetof(SyncSlot, thread) == 24);
static_assert(offsetof(SyncSlot, detail) == 28);
static_assert(offsetof(SyncSlot, since_ns) == 32);
static_assert(offsetof(SyncSlot, counted) == 40);
static_assert(offsetof(SyncSlot, unused) == 44);

struct SyncPage {
  SyncPageHeader header;
  SyncSlot slots[kSyncSlots];
};
static_assert(sizeof(SyncPage) == 69632);
static_assert(alignof(SyncPage) == 8);
static_assert(std::is_trivially_copyable_v<SyncPage>);
static_assert(offsetof(SyncPage, header) == 0);
static_assert(offsetof(SyncPage, slots) == 4096);

}  // namespace shmd::layout

#endif  // SHMD_SHM_LAYOUT_SYNC_LAYOUT_H_
