#include "shm/directory/directory_space.h"

#include <cstring>

#include "base/error.h"
#include "base/error_reason.h"
#include "shm/types.h"

namespace shmd {
namespace {

// One more eighth each time: 192 chunks are enough for all entries there can
// be, and an eighth is the most that is taken in vain.
constexpr uint64_t kChunkDivisor = 8;
// The largest index has at most one bucket for so many entries, rounded up to
// a power of two; all that there were before it are as large together.
constexpr uint64_t kEntriesForBucket = 5;
constexpr uint64_t kLeastIndexBytes = 2 * 4096;

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

uint64_t IndexesBytes(uint64_t max_entries) {
  const uint64_t entries = RoundUp(max_entries, layout::kEntriesInBlock);
  uint64_t buckets = 1;
  while (buckets * kEntriesForBucket < entries) buckets *= 2;
  return std::max(2 * buckets * layout::kBucketBytes, kLeastIndexBytes);
}

}  // namespace

absl::StatusOr<uint64_t> MaxDirectorySizeBytes(uint64_t max_entries) {
  if (max_entries == 0 || max_entries > kMaxDirectoryEntries) {
    return InvalidField("max_entries", reason::kSizeInvalid,
                        "a directory cannot have so many entries")
        .With("max_entries", max_entries)
        .With("limit", kMaxDirectoryEntries);
  }
  return sizeof(layout::DirectoryHeader) +
         RoundUp(max_entries, layout::kEntriesInBlock) * layout::kEntryBytes +
         IndexesBytes(max_entries);
}

uint64_t MaxEntriesOf(uint64_t max_size_bytes) {
  uint64_t least = 0;
  uint64_t most = kMaxDirectoryEntries;
  while (least < most) {
    const uint64_t middle = (least + most + 1) / 2;
    const absl::StatusOr<uint64_t> size = MaxDirectorySizeBytes(middle);
    if (size.ok() && *size <= max_size_bytes) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  return least;
}

uint64_t NextChunkEntries(uint64_t entries, uint64_t max_entries) {
  const uint64_t most = RoundUp(max_entries, layout::kEntriesInBlock);
  if (entries >= most) return 0;
  const uint64_t wanted = RoundUp(
      std::max(entries / kChunkDivisor, uint64_t{1}), layout::kEntriesInBlock);
  return std::min(wanted, most - entries);
}

absl::Status NoRoomForName() {
  return Exhausted(reason::kDirectoryFull, "names of the same hash", 1, 0,
                   "objects");
}

absl::Status NoRoomForEntry(uint64_t entries) {
  return Exhausted(reason::kDirectoryFull, "entries of the directory",
                   entries + 1, entries, "objects");
}

absl::Status DirectoryIsCorrupt() {
  return Error(absl::StatusCode::kDataLoss, reason::kHeaderCorrupt,
               "the parts of the directory cannot be where it says");
}

layout::DirectoryHeader NewDirectoryHeader(uint64_t max_size_bytes) {
  layout::DirectoryHeader header = {};
  header.magic = layout::kDirectoryMagic;
  header.header_bytes = sizeof(layout::DirectoryHeader);
  const Uid random = RandomUid();
  static_assert(sizeof(random) ==
                sizeof(header.uid) + sizeof(header.hash_seed));
  std::memcpy(&header.uid, random.data(), sizeof(header.uid));
  std::memcpy(&header.hash_seed, random.data() + sizeof(header.uid),
              sizeof(header.hash_seed));
  header.max_size_bytes = max_size_bytes;
  header.size_bytes = sizeof(layout::DirectoryHeader);
  return header;
}

absl::StatusOr<std::vector<ByteRange>> GapsBetween(std::vector<ByteRange> used,
                                                   uint64_t end_bytes) {
  std::sort(used.begin(), used.end(),
            [](const ByteRange& a, const ByteRange& b) {
              return a.offset_bytes < b.offset_bytes;
            });
  std::vector<ByteRange> gaps;
  uint64_t at_bytes = sizeof(layout::DirectoryHeader);
  for (const ByteRange& range : used) {
    if (range.offset_bytes < at_bytes || range.end_bytes() > end_bytes) {
      return DirectoryIsCorrupt();
    }
    if (range.offset_bytes > at_bytes) {
      gaps.push_back({at_bytes, range.offset_bytes - at_bytes});
    }
    at_bytes = range.end_bytes();
  }
  if (end_bytes > at_bytes) gaps.push_back({at_bytes, end_bytes - at_bytes});
  return gaps;
}

}  // namespace shmd
