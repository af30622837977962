#ifndef SHMD_SHM_LAYOUT_DIRECTORY_LAYOUT_H_
#define SHMD_SHM_LAYOUT_DIRECTORY_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace shmd::layout {

// The directory of a namespace: one memfd that the daemon alone writes and
// every session maps read-only. docs/memory_layout.md draws it.
//
//   0          4096
//   ┌──────────┬─────────────┬──────────┬───────────────┬──────────┬─ ─
//   │ header   │ index       │ entries  │ index, twice  │ entries  │
//   │ 4 KiB    │ 2^n buckets │ chunk 0  │ as large      │ chunk 1  │
//   └──────────┴─────────────┴──────────┴───────────────┴──────────┴─ ─
//
// The file only grows, at its end. A reader maps `max_size_bytes` once and
// touches nothing beyond what the daemon's words point to, so growth needs no
// new mapping. An entry never moves; an index that became too small stays as
// it was, until its pages are given back and read as empty.
//
// Names are found by open addressing: a name's hash picks a bucket, one cache
// line of seven cells and a count of names that found it full and went on to
// the next. A cell points to an entry; the entry's name decides.

inline constexpr uint64_t kDirectoryMagic = 0x3152494444484D53;  // "SMHDDIR1"
inline constexpr uint32_t kDirectoryVersion = 1;
inline constexpr uint64_t kMaxDirectorySizeBytes = uint64_t{16} << 30;
inline constexpr size_t kMaxDirectoryChunks = 192;

// Behind an object's payload; what describes a blob needs no more.
inline constexpr uint32_t kMaxObjectMetadataBytes = 64 << 10;

inline constexpr size_t kMaxObjectIdBytes = 64;
inline constexpr size_t kNameWords = 8;     // of an id, padded with zeros
inline constexpr size_t kHotNameWords = 3;  // in an entry's first line
inline constexpr size_t kColdNameWords = kNameWords - kHotNameWords;

// How many buckets after the first a name may be in; a reader need not look
// further, and the daemon takes no name that would be.
inline constexpr uint64_t kMaxProbes = 64;
inline constexpr size_t kCellsInBucket = 7;

// A run of entries: blocks of 64, in each their first lines in one page and
// their other lines in the next.
struct DirectoryChunk {
  uint32_t first_position;  // in units of 64 bytes from the file's start
  uint32_t entries;
};
static_assert(sizeof(DirectoryChunk) == 8);
static_assert(alignof(DirectoryChunk) == 4);
static_assert(std::is_trivially_copyable_v<DirectoryChunk>);
static_assert(offsetof(DirectoryChunk, first_position) == 0);
static_assert(offsetof(DirectoryChunk, entries) == 4);

struct DirectoryHeader {
  uint64_t magic;
  // Written last, with release; 0 means not ready yet.
  uint32_t version;
  uint32_t header_bytes;  // 4096
  uint64_t uid;           // random, of this directory
  uint64_t hash_seed;     // random
  // How much to map.
  uint64_t max_size_bytes;
  // Where names are looked up: bits 0-39 the offset of the index in units of
  // 64 bytes, bits 40-47 the logarithm of its number of buckets. Changes when
  // the index has been made anew, larger and elsewhere.
  uint64_t index;
  uint64_t size_bytes;  // of the file
  uint64_t live_entries;
  uint64_t unused[8];
  // For the daemon alone, when it takes the file up again.
  uint64_t chunk_count;
  uint64_t last_generation;
  uint64_t ready_entries;  // of the chunks, from the first: those with memory
  uint64_t last_arena;     // the number that was given out last
  uint64_t daemon_unused[4];
  DirectoryChunk chunks[kMaxDirectoryChunks];
  uint8_t reserved[2368];
};
static_assert(sizeof(DirectoryHeader) == 4096);
static_assert(alignof(DirectoryHeader) == 8);
static_assert(std::is_trivially_copyable_v<DirectoryHeader>);
static_assert(offsetof(DirectoryHeader, magic) == 0);
static_assert(offsetof(DirectoryHeader, version) == 8);
static_assert(offsetof(DirectoryHeader, header_bytes) == 12);
static_assert(offsetof(DirectoryHeader, uid) == 16);
static_assert(offsetof(DirectoryHeader, hash_seed) == 24);
static_assert(offsetof(DirectoryHeader, max_size_bytes) == 32);
static_assert(offsetof(DirectoryHeader, index) == 40);
static_assert(offsetof(DirectoryHeader, size_bytes) == 48);
static_assert(offsetof(DirectoryHeader, live_entries) == 56);
static_assert(offsetof(DirectoryHeader, unused) == 64);
static_assert(offsetof(DirectoryHeader, chunk_count) == 128);
static_assert(offsetof(DirectoryHeader, last_generation) == 136);
static_assert(offsetof(DirectoryHeader, ready_entries) == 144);
static_assert(offsetof(DirectoryHeader, last_arena) == 152);
static_assert(offsetof(DirectoryHeader, daemon_unused) == 160);
static_assert(offsetof(DirectoryHeader, chunks) == 192);
static_assert(offsetof(DirectoryHeader, reserved) == 1728);

// `cells`: bits 0-31 the position of an entry, in units of 64 bytes from the
// file's start, 0 for none; bits 32-63 those of the name's hash.
struct DirectoryBucket {
  uint64_t cells[kCellsInBucket];
  uint64_t passed_by;  // names that were to be here and are in a later bucket
};
static_assert(sizeof(DirectoryBucket) == 64);
static_assert(alignof(DirectoryBucket) == 8);
static_assert(std::is_trivially_copyable_v<DirectoryBucket>);
static_assert(offsetof(DirectoryBucket, cells) == 0);
static_assert(offsetof(DirectoryBucket, passed_by) == 56);

// What an entry is at the moment: bits 32-39 of its first word.
enum class EntryState : uint8_t {
  kFree = 0,
  kWriting = 1,    // by the daemon; no cell points to it
  kAvailable = 2,  // in the arena, immutable
  kRetired = 3,    // deleted or replaced; readers that have it pinned read on
  kSpilled = 4,    // in a file of the daemon's; a call brings it back
};

// One object, in two cache lines, of which a look-up of a short name reads the
// first. While a cell points to it nothing in it changes but its first word,
// and that only once: from kAvailable or kSpilled to kRetired.
//
// The two lines are not next to each other, so that the first ones of many
// objects are: they share pages, and use all sets of the processor's caches.
struct DirectoryEntry {
  // Bits 0-31: how often the entry has changed; 32-39: EntryState; 40-47: the
  // length of the name; 48-55: priority; 56-63: flags.
  uint64_t control;
  uint32_t arena;           // number of the arena in the namespace, from 1
  uint32_t metadata_bytes;  // behind the payload, at the next multiple of 8
  uint64_t generation;
  uint64_t offset_bytes;  // of the payload in the arena
  uint64_t size_bytes;    // of the payload
  uint64_t name[kHotNameWords];
};
static_assert(sizeof(DirectoryEntry) == 64);
static_assert(alignof(DirectoryEntry) == 8);
static_assert(std::is_trivially_copyable_v<DirectoryEntry>);
static_assert(offsetof(DirectoryEntry, control) == 0);
static_assert(offsetof(DirectoryEntry, arena) == 8);
static_assert(offsetof(DirectoryEntry, metadata_bytes) == 12);
static_assert(offsetof(DirectoryEntry, generation) == 16);
static_assert(offsetof(DirectoryEntry, offset_bytes) == 24);
static_assert(offsetof(DirectoryEntry, size_bytes) == 32);
static_assert(offsetof(DirectoryEntry, name) == 40);

// Its other line, one page behind the first.
struct DirectoryEntryRest {
  uint64_t name[kColdNameWords];
  uint64_t create_time_ns;  // since 1970
  uint64_t expire_time_ns;  // since 1970; 0: never
  uint32_t owner;           // uid
  uint32_t reserved;
};
static_assert(sizeof(DirectoryEntryRest) == 64);
static_assert(alignof(DirectoryEntryRest) == 8);
static_assert(std::is_trivially_copyable_v<DirectoryEntryRest>);
static_assert(offsetof(DirectoryEntryRest, name) == 0);
static_assert(offsetof(DirectoryEntryRest, create_time_ns) == 40);
static_assert(offsetof(DirectoryEntryRest, expire_time_ns) == 48);
static_assert(offsetof(DirectoryEntryRest, owner) == 56);
static_assert(offsetof(DirectoryEntryRest, reserved) == 60);

inline constexpr uint64_t kPositionBytes = sizeof(DirectoryEntry);
inline constexpr uint64_t kBucketBytes = sizeof(DirectoryBucket);
inline constexpr uint64_t kEntryBytes =
    sizeof(DirectoryEntry) + sizeof(DirectoryEntryRest);
inline constexpr uint64_t kEntriesInBlock = 64;

// Where the two lines of an entry are, from the file's start.
constexpr uint64_t EntryOffsetBytes(uint32_t position) {
  return position * kPositionBytes;
}
constexpr uint64_t EntryRestOffsetBytes(uint32_t position) {
  return EntryOffsetBytes(position) + kEntriesInBlock * kPositionBytes;
}

}  // namespace shmd::layout

#endif  // SHMD_SHM_LAYOUT_DIRECTORY_LAYOUT_H_
