#include "shm/arena/extent_allocator.h"

#include <algorithm>
#include <utility>

namespace shmd {
namespace {

constexpr uint64_t kPageBytes = 4096;

// How many blocks of a list are looked at before the next one is: the list of
// a length has shorter ones too.
constexpr size_t kTries = 4;

constexpr size_t kFirstSlots = 64;

uint64_t RoundUp(uint64_t value, uint64_t to) {
  return (value + to - 1) & ~(to - 1);
}

}  // namespace

ExtentAllocator::ExtentAllocator(uint64_t size_bytes)
    : size_(std::min(size_bytes, kMaxSizeBytes) / kGranuleBytes),
      blocks_(1),
      slots_(kFirstSlots),
      slot_shift_(32 - __builtin_ctzll(kFirstSlots)) {}

std::optional<Extent> ExtentAllocator::Allocate(uint64_t size_bytes,
                                                uint64_t alignment) {
  if (size_bytes > this->size_bytes() || alignment > kMaxSizeBytes ||
      (alignment & (alignment - 1)) != 0) {
    return std::nullopt;
  }
  const Granules length =
      std::max<uint64_t>((size_bytes + kGranuleBytes - 1) / kGranuleBytes, 1);
  const Granules aligned = std::max<uint64_t>(alignment / kGranuleBytes, 1);
  Granules start = 0;
  BlockId id = FindTouched(length, aligned, &start);
  if (id == kNone && cut_free_) {
    JoinFree();
    id = FindTouched(length, aligned, &start);
  }
  if (id == kNone) {
    if (const auto in_tail = StartInTail(length, aligned)) {
      start = *in_tail;
      id = GrowInto(start, length);
    } else {
      id = FindExhaustively(length, aligned, &start);
      if (id == kNone) return std::nullopt;
    }
  }
  Carve(id, start, length);
  MakeLive(id);
  return Extent{uint64_t{start} * kGranuleBytes,
                uint64_t{length} * kGranuleBytes};
}

bool ExtentAllocator::Free(uint64_t offset_bytes, uint32_t moment) {
  if (!StartsAt(offset_bytes)) return false;
  BlockId id = EraseSlot(offset_bytes / kGranuleBytes);
  if (id == kNone) return false;
  used_ -= blocks_[id].length;
  --live_;
  blocks_[id].state = State::kWarm;
  blocks_[id].freed_at = moment;
  const BlockId after = blocks_[id].after;
  if (after != kNone && blocks_[after].state != State::kLive) {
    Unlink(after);
    JoinAfter(id);
  }
  const BlockId before = blocks_[id].before;
  if (before != kNone && blocks_[before].state != State::kLive) {
    Unlink(before);
    JoinAfter(before);
    id = before;
  }
  Link(id);
  return true;
}

uint64_t* ExtentAllocator::FindTag(uint64_t offset_bytes) {
  if (!StartsAt(offset_bytes)) return nullptr;
  const BlockId id = slots_[FindSlot(offset_bytes / kGranuleBytes)].block;
  return id == kNone ? nullptr : &blocks_[id].tag;
}

bool ExtentAllocator::Reserve(const Extent& extent) {
  if (!StartsAt(extent.offset_bytes) ||
      extent.size_bytes > size_bytes() - extent.offset_bytes) {
    return false;
  }
  const Granules start = extent.offset_bytes / kGranuleBytes;
  const Granules length = std::max<uint64_t>(
      (extent.size_bytes + kGranuleBytes - 1) / kGranuleBytes, 1);
  BlockId id = kNone;
  if (cut_free_) JoinFree();
  if (start >= frontier_) {
    id = GrowInto(start, length);
  } else {
    id = FindBlockAt(start);
    const Block& block = blocks_[id];
    if (block.state == State::kLive) return false;
    if (length > block.start + block.length - start) {
      // Only the end of all blocks can be moved.
      if (id != last_) return false;
      id = GrowInto(start, length);
    }
  }
  Carve(id, start, length);
  MakeLive(id);
  return true;
}

std::vector<Extent> ExtentAllocator::TakeIdle(const IdleQuery& query) {
  std::vector<Extent> idle;
  const uint64_t least = std::max(query.min_bytes, kPageBytes);
  if (least > size_bytes()) return idle;
  uint64_t left = query.max_bytes;
  const Lists& warm = ListsOf(State::kWarm);
  // The list of this length has shorter ones too.
  for (uint32_t coarse = IndexOf(least / kGranuleBytes).coarse;
       coarse < kCoarse; ++coarse) {
    if (warm.fine_maps[coarse] == 0) continue;
    for (uint32_t fine = 0; fine < kFine; ++fine) {
      for (BlockId id = warm.newest[coarse][fine]; id != kNone;) {
        const BlockId next = blocks_[id].links.older;
        // The difference is right also when the clock has wrapped.
        if (query.moment - blocks_[id].freed_at >= query.age) {
          if (left < kPageBytes) return idle;
          const Extent pages = TakePages(id, least, left);
          left -= pages.size_bytes;
          if (pages.size_bytes > 0) idle.push_back(pages);
        }
        id = next;
      }
    }
  }
  return idle;
}

// Makes a warm block a cold one, if it has so much in whole pages; or only its
// beginning, if it has too much.
Extent ExtentAllocator::TakePages(BlockId id, uint64_t min_bytes,
                                  uint64_t max_bytes) {
  const uint64_t start = uint64_t{blocks_[id].start} * kGranuleBytes;
  const uint64_t end = start + uint64_t{blocks_[id].length} * kGranuleBytes;
  const uint64_t first_page = RoundUp(start, kPageBytes);
  // Of the page that the last block ends in, nothing behind it is used.
  const uint64_t end_page =
      id == last_ && RoundUp(end, kPageBytes) <= size_bytes()
          ? RoundUp(end, kPageBytes)
          : end / kPageBytes * kPageBytes;
  if (end_page < first_page + min_bytes) return {};
  const uint64_t taken_bytes =
      std::min(end_page - first_page, max_bytes / kPageBytes * kPageBytes);
  if (first_page + taken_bytes < end_page) {
    Carve(id, blocks_[id].start,
          (first_page + taken_bytes) / kGranuleBytes - blocks_[id].start);
    cut_free_ = true;
  } else {
    Unlink(id);
  }
  blocks_[id].state = State::kCold;
  Link(id);
  return {first_page, taken_bytes};
}

// Joins free blocks that lie side by side.
void ExtentAllocator::JoinFree() {
  cut_free_ = false;
  for (BlockId id = first_; id != kNone; id = blocks_[id].after) {
    if (blocks_[id].state == State::kLive) continue;
    Unlink(id);
    for (BlockId after = blocks_[id].after;
         after != kNone && blocks_[after].state != State::kLive;
         after = blocks_[id].after) {
      Unlink(after);
      JoinAfter(id);
    }
    Link(id);
  }
}

std::vector<Extent> ExtentAllocator::FreeExtents() const {
  std::vector<Extent> free_extents;
  bool joins = false;
  for (BlockId id = first_; id != kNone; id = blocks_[id].after) {
    const bool is_free = blocks_[id].state != State::kLive;
    const uint64_t length_bytes = uint64_t{blocks_[id].length} * kGranuleBytes;
    if (is_free && joins) {
      free_extents.back().size_bytes += length_bytes;
    } else if (is_free) {
      free_extents.push_back(
          {uint64_t{blocks_[id].start} * kGranuleBytes, length_bytes});
    }
    joins = is_free;
  }
  if (frontier_ == size_) return free_extents;
  const uint64_t rest = size_bytes() - high_water_bytes();
  if (last_ != kNone && blocks_[last_].state != State::kLive) {
    free_extents.back().size_bytes += rest;
  } else {
    free_extents.push_back({high_water_bytes(), rest});
  }
  return free_extents;
}

ExtentAllocator::ListIndex ExtentAllocator::IndexOf(Granules length) {
  // Up to kFine - 1 each length has a list of its own.
  if (length < kFine) return {0, length};
  const uint32_t log2 = 31 - __builtin_clz(length);
  return {log2 - kFineBits + 1, (length >> (log2 - kFineBits)) & (kFine - 1)};
}

bool ExtentAllocator::Fits(const Block& block, Granules length,
                           Granules alignment, Granules* start) {
  const uint64_t aligned = RoundUp(block.start, alignment);
  *start = static_cast<Granules>(aligned);
  return aligned + length <= uint64_t{block.start} + block.length;
}

ExtentAllocator::BlockId ExtentAllocator::NewBlock(Granules start,
                                                   Granules length,
                                                   State state) {
  BlockId id = unused_;
  if (id == kNone) {
    id = static_cast<BlockId>(blocks_.size());
    blocks_.emplace_back();
  } else {
    unused_ = blocks_[id].links.older;
  }
  Block& block = blocks_[id];
  block = Block();
  block.start = start;
  block.length = length;
  block.state = state;
  return id;
}

void ExtentAllocator::DropBlock(BlockId id) {
  blocks_[id].state = State::kUnused;
  blocks_[id].links.older = unused_;
  unused_ = id;
}

void ExtentAllocator::Link(BlockId id) {
  Block& block = blocks_[id];
  const ListIndex index = IndexOf(block.length);
  Lists& lists = ListsOf(block.state);
  BlockId& newest = lists.newest[index.coarse][index.fine];
  block.links.newer = kNone;
  block.links.older = newest;
  if (newest != kNone) blocks_[newest].links.newer = id;
  newest = id;
  lists.coarse_map |= uint32_t{1} << index.coarse;
  lists.fine_maps[index.coarse] |= uint8_t{1} << index.fine;
}

void ExtentAllocator::Unlink(BlockId id) {
  const Block& block = blocks_[id];
  if (block.links.older != kNone)
    blocks_[block.links.older].links.newer = block.links.newer;
  if (block.links.newer != kNone) {
    blocks_[block.links.newer].links.older = block.links.older;
    return;
  }
  const ListIndex index = IndexOf(block.length);
  Lists& lists = ListsOf(block.state);
  lists.newest[index.coarse][index.fine] = block.links.older;
  if (block.links.older != kNone) return;
  uint8_t& fine_map = lists.fine_maps[index.coarse];
  fine_map &= static_cast<uint8_t>(~(1u << index.fine));
  if (fine_map == 0) lists.coarse_map &= ~(uint32_t{1} << index.coarse);
}

ExtentAllocator::BlockId ExtentAllocator::FindInList(BlockId newest,
                                                     Granules length,
                                                     Granules alignment,
                                                     size_t tries,
                                                     Granules* start) const {
  for (BlockId id = newest; id != kNone && tries > 0;
       id = blocks_[id].links.older, --tries) {
    if (Fits(blocks_[id], length, alignment, start)) return id;
  }
  return kNone;
}

ExtentAllocator::BlockId ExtentAllocator::FindTouched(Granules length,
                                                      Granules alignment,
                                                      Granules* start) {
  const BlockId id = FindFit(State::kWarm, length, alignment, start);
  return id != kNone ? id : FindFit(State::kCold, length, alignment, start);
}

// A block of the length's own list, or the newest of a list of longer ones.
ExtentAllocator::BlockId ExtentAllocator::FindFit(State state, Granules length,
                                                  Granules alignment,
                                                  Granules* start) {
  const Lists& lists = ListsOf(state);
  if (lists.coarse_map == 0) return kNone;
  const ListIndex own = IndexOf(length);
  BlockId id = FindInList(lists.newest[own.coarse][own.fine], length, alignment,
                          kTries, start);
  if (id != kNone) return id;
  // Long enough wherever it starts.
  const uint64_t padded = uint64_t{length} + alignment - 1;
  if (padded >= size_) return kNone;
  const ListIndex from = IndexOf(static_cast<Granules>(padded));
  uint32_t coarse = from.coarse;
  // Lists above that of `padded`; in the shortest ones all are of one length.
  const uint32_t least = from.coarse == 0 ? from.fine : from.fine + 1;
  uint32_t fine_map =
      lists.fine_maps[coarse] & static_cast<uint32_t>(~uint64_t{0} << least);
  if (fine_map == 0) {
    const uint32_t above =
        coarse + 1 < kCoarse ? lists.coarse_map & (~uint32_t{0} << (coarse + 1))
                             : 0;
    if (above == 0) return kNone;
    coarse = __builtin_ctz(above);
    fine_map = lists.fine_maps[coarse];
  }
  id = lists.newest[coarse][__builtin_ctz(fine_map)];
  return Fits(blocks_[id], length, alignment, start) ? id : kNone;
}

// Before saying no: every block that could be long enough.
ExtentAllocator::BlockId ExtentAllocator::FindExhaustively(
    Granules length, Granules alignment, Granules* start) const {
  const ListIndex own = IndexOf(length);
  for (const Lists& lists : lists_) {
    for (uint32_t coarse = own.coarse; coarse < kCoarse; ++coarse) {
      if (lists.fine_maps[coarse] == 0) continue;
      for (uint32_t fine = coarse == own.coarse ? own.fine : 0; fine < kFine;
           ++fine) {
        const BlockId id = FindInList(lists.newest[coarse][fine], length,
                                      alignment, blocks_.size(), start);
        if (id != kNone) return id;
      }
    }
  }
  return kNone;
}

// Where an extent would start that ends behind all blocks; the last of them
// may be free and counts as a part of what is behind.
std::optional<ExtentAllocator::Granules> ExtentAllocator::StartInTail(
    Granules length, Granules alignment) const {
  uint64_t start = frontier_;
  if (last_ != kNone && blocks_[last_].state != State::kLive) {
    start = blocks_[last_].start;
  }
  start = RoundUp(start, alignment);
  if (start + length > size_) return std::nullopt;
  return static_cast<Granules>(start);
}

// Makes the last block a free one, in no list, that reaches to the end of an
// extent there.
ExtentAllocator::BlockId ExtentAllocator::GrowInto(Granules start,
                                                   Granules length) {
  const Granules end = start + length;
  BlockId id = last_;
  if (id != kNone && blocks_[id].state != State::kLive) {
    Unlink(id);
    blocks_[id].length += end - frontier_;
    Link(id);
  } else {
    id = NewBlock(frontier_, end - frontier_, State::kCold);
    blocks_[id].before = last_;
    (last_ == kNone ? first_ : blocks_[last_].after) = id;
    last_ = id;
    Link(id);
  }
  frontier_ = end;
  return id;
}

// Makes a free block that is in its list be [start, start + length), in no
// list; what is left of it on both sides is free as it was.
void ExtentAllocator::Carve(BlockId id, Granules start, Granules length) {
  Unlink(id);
  const Granules lead = start - blocks_[id].start;
  const State state = blocks_[id].state;
  if (lead > 0) {
    const BlockId front = NewBlock(blocks_[id].start, lead, state);
    Block& block = blocks_[id];
    blocks_[front].freed_at = block.freed_at;
    blocks_[front].before = block.before;
    blocks_[front].after = id;
    (block.before == kNone ? first_ : blocks_[block.before].after) = front;
    block.before = front;
    block.start = start;
    block.length -= lead;
    Link(front);
  }
  if (blocks_[id].length > length) {
    const BlockId back =
        NewBlock(start + length, blocks_[id].length - length, state);
    Block& block = blocks_[id];
    blocks_[back].freed_at = block.freed_at;
    blocks_[back].before = id;
    blocks_[back].after = block.after;
    (block.after == kNone ? last_ : blocks_[block.after].before) = back;
    block.after = back;
    block.length = length;
    Link(back);
  }
}

// Makes the free block behind, which is in no list either, a part of this one.
void ExtentAllocator::JoinAfter(BlockId id) {
  Block& block = blocks_[id];
  const BlockId gone = block.after;
  // What is cold has nothing to give back, and no say.
  if (blocks_[gone].state == State::kWarm &&
      (block.state == State::kCold || blocks_[gone].length > block.length)) {
    block.freed_at = blocks_[gone].freed_at;
    block.state = State::kWarm;
  }
  block.length += blocks_[gone].length;
  block.after = blocks_[gone].after;
  (block.after == kNone ? last_ : blocks_[block.after].before) = id;
  DropBlock(gone);
}

// The block that has this granule, which is below the frontier. From the end,
// because Reserve is called in ascending order.
ExtentAllocator::BlockId ExtentAllocator::FindBlockAt(Granules start) const {
  BlockId id = last_;
  while (blocks_[id].start > start) id = blocks_[id].before;
  return id;
}

void ExtentAllocator::MakeLive(BlockId id) {
  Block& block = blocks_[id];
  block.state = State::kLive;
  block.tag = 0;
  used_ += block.length;
  ++live_;
  InsertSlot(block.start, id);
}

size_t ExtentAllocator::SlotOf(Granules start) const {
  // Fibonacci hashing: the high bits of the product are well mixed.
  return (start * uint32_t{2654435769}) >> slot_shift_;
}

void ExtentAllocator::InsertSlot(Granules start, BlockId block) {
  if (2 * live_ > slots_.size()) GrowSlots();
  const size_t mask = slots_.size() - 1;
  size_t at = SlotOf(start);
  while (slots_[at].block != kNone) at = (at + 1) & mask;
  slots_[at] = {start, block};
}

size_t ExtentAllocator::FindSlot(Granules start) const {
  const size_t mask = slots_.size() - 1;
  size_t at = SlotOf(start);
  while (slots_[at].block != kNone && slots_[at].start != start) {
    at = (at + 1) & mask;
  }
  return at;
}

ExtentAllocator::BlockId ExtentAllocator::EraseSlot(Granules start) {
  const size_t mask = slots_.size() - 1;
  const size_t at = FindSlot(start);
  const BlockId block = slots_[at].block;
  if (block == kNone) return kNone;
  // Those behind that were pushed on by this one move up, so that a search
  // may stop at the first empty slot.
  size_t hole = at;
  for (size_t next = (at + 1) & mask; slots_[next].block != kNone;
       next = (next + 1) & mask) {
    const size_t home = SlotOf(slots_[next].start);
    if (((next - home) & mask) < ((next - hole) & mask)) continue;
    slots_[hole] = slots_[next];
    hole = next;
  }
  slots_[hole] = {};
  return block;
}

void ExtentAllocator::GrowSlots() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  --slot_shift_;
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.block == kNone) continue;
    size_t at = SlotOf(slot.start);
    while (slots_[at].block != kNone) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

}  // namespace shmd
