#ifndef SHMD_SHM_ARENA_EXTENT_ALLOCATOR_H_
#define SHMD_SHM_ARENA_EXTENT_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace shmd {

// A part of an arena.
struct Extent {
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
};

// Which parts of an arena its writer has in use. All of it is in the writer's
// private memory: the arena itself is not touched, so nobody who maps it can
// mislead this, and an extent costs some 50 bytes while it lives, a word of its
// owner's included.
//
// Free extents are kept in lists by their size, two levels of them with a bit
// map each (Masmano et al., TLSF, 2004), and joined with their neighbours at
// once. What was freed last is handed out first, because its pages are in the
// caches; pages that were given back come after that, and those that nobody
// has ever touched come last: touching one is five times dearer than writing.
// So what is not needed is what was freed long ago, and TakeIdle tells it.
//
// Not thread-safe.
class ExtentAllocator {
 public:
  static constexpr uint64_t kGranuleBytes = 64;
  static constexpr uint64_t kMaxSizeBytes = uint64_t{1} << 37;

  // For an arena of this size; what is beyond kMaxSizeBytes, or no whole
  // granule at the end, is not used.
  explicit ExtentAllocator(uint64_t size_bytes);

  // An extent of at least this size, a multiple of the granule, at a multiple
  // of `alignment`, a power of two. nullopt when there is none.
  std::optional<Extent> Allocate(uint64_t size_bytes,
                                 uint64_t alignment = kGranuleBytes);

  // Takes back what Allocate or Reserve has given, found by where it starts, at
  // a moment by a clock of the caller's, which may wrap. False, and nothing
  // changes, when nothing does there.
  bool Free(uint64_t offset_bytes, uint32_t moment = 0);
  bool Free(const Extent& extent) { return Free(extent.offset_bytes); }

  // What its owner keeps beside the extent that starts there, 0 at first; null
  // when none does. Until the next call that is not const.
  uint64_t* FindTag(uint64_t offset_bytes);
  // Calls `visit(offset_bytes, tag)` for all that are in use, in no order.
  template <typename Visit>
  void ForEachInUse(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.block == kNone) continue;
      visit(uint64_t{slot.start} * kGranuleBytes, blocks_[slot.block].tag);
    }
  }

  // Marks an extent as in use, to rebuild from a list of those that are; fast
  // in ascending order. False, and nothing changes, when a part of it is in use
  // already, or it is beyond the end or at no granule.
  bool Reserve(const Extent& extent);

  // Whole pages of free memory that may have been touched and are not needed:
  // of runs of at least `min_bytes`, free for `age` at `moment`. No more than
  // `max_bytes` at once, in no order. They count as given back from now on, so
  // punch holes into them before the next Allocate.
  //
  // A run that was freed piece by piece is as old as the longer piece was each
  // time that it grew: so a small one that comes and goes beside it does not
  // keep it young, and no more than half of a run was in use since.
  struct IdleQuery {
    uint64_t min_bytes = 0;
    uint64_t max_bytes = ~uint64_t{0};
    uint32_t moment = 0;
    uint32_t age = 0;
  };
  std::vector<Extent> TakeIdle(const IdleQuery& query);

  uint64_t size_bytes() const { return uint64_t{size_} * kGranuleBytes; }
  uint64_t used_bytes() const { return uint64_t{used_} * kGranuleBytes; }
  // Everything from here on is free and, as far as is known, never touched.
  uint64_t high_water_bytes() const {
    return uint64_t{frontier_} * kGranuleBytes;
  }
  size_t extents() const { return live_; }
  // Free ranges, each as long as can be; for tests and figures: slow.
  std::vector<Extent> FreeExtents() const;

 private:
  // All in granules. Blocks cover [0, frontier_) without a gap.
  using Granules = uint32_t;
  using BlockId = uint32_t;
  static constexpr BlockId kNone = 0;

  enum class State : uint8_t { kUnused, kLive, kWarm, kCold };

  // In a list of free blocks, or of unused ones.
  struct Links {
    BlockId newer = kNone;
    BlockId older = kNone;
  };
  struct Block {
    Granules start = 0;
    Granules length = 0;
    BlockId before = kNone;  // in the arena
    BlockId after = kNone;
    union {
      Links links = {};  // unless it is live
      uint64_t tag;      // while it is
    };
    State state = State::kUnused;
    uint32_t freed_at = 0;
  };

  // Lists of free blocks by length: 8 to each power of two.
  static constexpr uint32_t kFine = 8;
  static constexpr uint32_t kFineBits = 3;
  static constexpr uint32_t kCoarse = 33 - kFineBits;
  struct Lists {
    uint32_t coarse_map = 0;
    uint8_t fine_maps[kCoarse] = {};
    BlockId newest[kCoarse][kFine] = {};
  };
  struct ListIndex {
    uint32_t coarse;
    uint32_t fine;
  };

  // The live blocks by where they start: open addressing.
  struct Slot {
    Granules start = 0;
    BlockId block = kNone;
  };

  // Whether an extent can.
  bool StartsAt(uint64_t offset_bytes) const {
    return offset_bytes % kGranuleBytes == 0 && offset_bytes < size_bytes();
  }
  static ListIndex IndexOf(Granules length);
  static bool Fits(const Block& block, Granules length, Granules alignment,
                   Granules* start);
  Lists& ListsOf(State state) { return lists_[state == State::kCold]; }
  BlockId NewBlock(Granules start, Granules length, State state);
  void DropBlock(BlockId id);
  void Link(BlockId id);
  void Unlink(BlockId id);
  BlockId FindFit(State state, Granules length, Granules alignment,
                  Granules* start);
  BlockId FindTouched(Granules length, Granules alignment, Granules* start);
  BlockId FindInList(BlockId newest, Granules length, Granules alignment,
                     size_t tries, Granules* start) const;
  BlockId FindExhaustively(Granules length, Granules alignment,
                           Granules* start) const;
  std::optional<Granules> StartInTail(Granules length,
                                      Granules alignment) const;
  BlockId GrowInto(Granules start, Granules length);
  void Carve(BlockId id, Granules start, Granules length);
  void JoinAfter(BlockId id);
  Extent TakePages(BlockId id, uint64_t min_bytes, uint64_t max_bytes);
  void JoinFree();
  BlockId FindBlockAt(Granules start) const;
  void MakeLive(BlockId id);
  size_t SlotOf(Granules start) const;
  // Its slot, or an empty one.
  size_t FindSlot(Granules start) const;
  void InsertSlot(Granules start, BlockId block);
  BlockId EraseSlot(Granules start);
  void GrowSlots();

  Granules size_ = 0;
  Granules frontier_ = 0;
  Granules used_ = 0;
  size_t live_ = 0;
  Lists lists_[2];             // warm, cold
  std::vector<Block> blocks_;  // 0 is nobody
  BlockId unused_ = kNone;     // linked by `older`
  BlockId first_ = kNone;      // in the arena
  BlockId last_ = kNone;
  // Whether free blocks may lie side by side: TakePages has cut one in two.
  bool cut_free_ = false;
  std::vector<Slot> slots_;  // a power of two of them
  uint32_t slot_shift_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SHM_ARENA_EXTENT_ALLOCATOR_H_
