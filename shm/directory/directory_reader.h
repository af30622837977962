#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_READER_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_READER_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/directory/directory_words.h"
#include "shm/directory/name_key.h"
#include "shm/layout/directory_layout.h"
#include "shm/layout/memory_word.h"

namespace shmd {

// An object as a look-up found it.
struct FoundObject {
  uint32_t position = 0;
  uint64_t control = 0;  // the entry's first word, which tells it is the same
  layout::EntryState state = layout::EntryState::kFree;
  uint32_t arena = 0;
  uint32_t metadata_bytes = 0;
  uint64_t generation = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
};

// The same with what a listing shows.
struct ListedObject {
  NameKey key = {};
  FoundObject object;
  uint64_t create_time_ns = 0;
  uint64_t expire_time_ns = 0;
  uint32_t owner = 0;
};

enum class Lookup {
  kFound,
  kAbsent,
  // The directory changed at every attempt, or holds what it cannot.
  kTryAgain,
};

// LAYOUT_VERSION_MISMATCH for a header of another version or one that is not
// ready yet, HEADER_CORRUPT for one that says what cannot be. For everybody
// who maps a directory.
absl::Status CheckDirectoryHeader(const void* base, size_t mapped_bytes);

// Looks names up in a mapped directory, without a lock or a call, while the
// daemon changes it; docs/memory_layout.md has the protocol. Does not own the
// mapping. Copyable; thread-safe. Every word that leads somewhere is checked
// against the size, so a wrong one leads to kTryAgain and to no signal.
template <typename Memory>
class BasicDirectoryReader {
 public:
  // `base` is where the directory is mapped, for its max_size_bytes or more.
  static absl::StatusOr<BasicDirectoryReader> Open(const void* base,
                                                   size_t mapped_bytes) {
    const absl::Status status = CheckDirectoryHeader(base, mapped_bytes);
    if (!status.ok()) return status;
    return BasicDirectoryReader(base, mapped_bytes);
  }

  // For who has checked the header.
  BasicDirectoryReader(const void* base, size_t mapped_bytes)
      : base_(static_cast<const char*>(base)),
        mapped_bytes_(mapped_bytes),
        hash_seed_(
            Memory::Load(&header()->hash_seed, std::memory_order_relaxed)) {}

  // kFound: `found` is the object of that name, which was in the directory at
  // a moment of this call; so was the absence of it for kAbsent.
  Lookup Find(const NameKey& key, FoundObject* found) const;

  // Whether what was found is still in the directory, or was at a moment of
  // this call. With memory_order_seq_cst this is half of a pin: shm/directory/
  // pins.h.
  bool IsStill(const FoundObject& found,
               std::memory_order order = std::memory_order_acquire) const {
    return Memory::Load(&Entry(found.position)->control, order) ==
           found.control;
  }

  // Calls `visit(const ListedObject&)` for each object, in no order, until it
  // returns false. Objects that come or go meanwhile may be left out.
  template <typename Visit>
  void ForEach(Visit visit) const;

  // Calls `visit(uint32_t arena, uint64_t generation)` for each object whose
  // place is in use: it is in the directory, or was and may be pinned still.
  // What was published before this call, and is not told by it, is gone. False
  // when an entry did not hold still; then this says nothing.
  template <typename Visit>
  bool ForEachInUse(Visit visit) const;

  uint64_t uid() const {
    return Memory::Load(&header()->uid, std::memory_order_relaxed);
  }
  uint64_t live_entries() const {
    return Memory::Load(&header()->live_entries, std::memory_order_relaxed);
  }

 private:
  // Far more than a writer that never pauses can spoil.
  static constexpr int kAttempts = 128;

  enum class Match { kThis, kOther, kUnclear };

  const layout::DirectoryHeader* header() const {
    // SAFETY: the mapping starts with the header.
    return reinterpret_cast<const layout::DirectoryHeader*>(base_);
  }
  // Where the file ends; it never shrinks. Acquires: what a word that was read
  // before points to lies within.
  uint64_t limit_bytes() const {
    return std::min<uint64_t>(
        Memory::Load(&header()->size_bytes, std::memory_order_acquire),
        mapped_bytes_);
  }
  // Whether `limit`, a limit_bytes(), leaves room for it.
  static bool HoldsEntry(uint32_t position, uint64_t limit) {
    return layout::EntryOffsetBytes(position) >=
               sizeof(layout::DirectoryHeader) &&
           layout::EntryRestOffsetBytes(position) + layout::kPositionBytes <=
               limit;
  }
  const layout::DirectoryEntry* Entry(uint32_t position) const {
    // SAFETY: callers have asked HoldsEntry() about this position.
    return reinterpret_cast<const layout::DirectoryEntry*>(
        base_ + layout::EntryOffsetBytes(position));
  }
  const layout::DirectoryEntryRest* EntryRest(uint32_t position) const {
    // SAFETY: as Entry().
    return reinterpret_cast<const layout::DirectoryEntryRest*>(
        base_ + layout::EntryRestOffsetBytes(position));
  }

  // What nearly every look-up is: one bucket, one entry or none, nothing that
  // changes meanwhile. kTryAgain when it is not that.
  Lookup FindAtOnce(uint64_t hash, const NameKey& key,
                    FoundObject* found) const;
  Lookup FindInTurn(uint64_t hash, const NameKey& key,
                    FoundObject* found) const;
  Lookup FindIn(uint64_t index, uint64_t hash, const NameKey& key,
                FoundObject* found) const;
  Match LookAt(const uint64_t* cell, uint32_t tag, const NameKey& key,
               FoundObject* found) const;
  // LookAt, once: kUnclear when the entry did not hold still.
  Match GlanceAt(const uint64_t* cell, uint64_t limit, uint32_t tag,
                 const NameKey& key, FoundObject* found) const;
  const layout::DirectoryBucket* Buckets(const IndexSpan& span) const {
    // SAFETY: the index was found to lie within the file.
    return reinterpret_cast<const layout::DirectoryBucket*>(base_ +
                                                            span.offset_bytes);
  }
  static unsigned TaggedCells(const layout::DirectoryBucket& bucket,
                              uint32_t tag) {
    return Memory::WordsWithTag(bucket.cells, tag) &
           ((1U << layout::kCellsInBucket) - 1);
  }
  bool HasName(uint32_t position, uint64_t control, const NameKey& key) const;
  void Copy(const layout::DirectoryEntry* entry, FoundObject* found) const;
  bool List(uint32_t position, ListedObject* listed) const;
  // Calls `visit(uint32_t position)` for each entry until it returns false.
  template <typename Visit>
  bool ForEachPosition(Visit visit) const;

  const char* base_;
  uint64_t mapped_bytes_;
  uint64_t hash_seed_;
};

using DirectoryReader = BasicDirectoryReader<layout::HostMemory>;

// Inlined always: the call costs as much as a tenth of it.
template <typename Memory>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline Lookup BasicDirectoryReader<Memory>::Find(
    const NameKey& key, FoundObject* found) const {
  // A copy, whose members no store of anybody else can change: else each is
  // loaded again after every word of the directory.
  const BasicDirectoryReader self = *this;
  const uint64_t hash = HashName(self.hash_seed_, key);
  const Lookup result = self.FindAtOnce(hash, key, found);
  if (ABSL_PREDICT_TRUE(result != Lookup::kTryAgain)) return result;
  // Its own, so that no call is told where `found` is, and that can stay in
  // registers.
  FoundObject late;
  const Lookup second = FindInTurn(hash, key, &late);
  *found = late;
  return second;
}

// Without a loop, or all that its next turn would need is carried along, out of
// registers and back: a third of the instructions.
template <typename Memory>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline Lookup
BasicDirectoryReader<Memory>::FindAtOnce(uint64_t hash, const NameKey& key,
                                         FoundObject* found) const {
  const uint64_t index =
      Memory::Load(&header()->index, std::memory_order_acquire);
  const IndexSpan span = IndexSpan::Of(index);
  const uint64_t limit = limit_bytes();
  if (span.buckets == 0 || span.end_bytes() > limit) return Lookup::kTryAgain;
  const layout::DirectoryBucket& bucket =
      Buckets(span)[hash & (span.buckets - 1)];
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  const unsigned tagged = TaggedCells(bucket, tag);
  Lookup result = Lookup::kAbsent;
  if (tagged != 0) {
    if (GlanceAt(&bucket.cells[__builtin_ctz(tagged)], limit, tag, key,
                 found) != Match::kThis) {
      return Lookup::kTryAgain;
    }
    result = Lookup::kFound;
  } else if (Memory::Load(&bucket.passed_by, std::memory_order_acquire) != 0) {
    return Lookup::kTryAgain;
  }
  return Memory::Load(&header()->index, std::memory_order_acquire) == index
             ? result
             : Lookup::kTryAgain;
}

template <typename Memory>
ABSL_ATTRIBUTE_NOINLINE Lookup BasicDirectoryReader<Memory>::FindInTurn(
    uint64_t hash, const NameKey& key, FoundObject* found) const {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const uint64_t index =
        Memory::Load(&header()->index, std::memory_order_acquire);
    const Lookup result = FindIn(index, hash, key, found);
    // An index that was left says nothing about names any more: its cells are
    // not cleared, and its pages may be gone.
    if (result != Lookup::kTryAgain &&
        Memory::Load(&header()->index, std::memory_order_acquire) == index) {
      return result;
    }
  }
  return Lookup::kTryAgain;
}

template <typename Memory>
Lookup BasicDirectoryReader<Memory>::FindIn(uint64_t index, uint64_t hash,
                                            const NameKey& key,
                                            FoundObject* found) const {
  if (index == 0) return Lookup::kAbsent;
  const IndexSpan span = IndexSpan::Of(index);
  if (span.buckets == 0 || span.end_bytes() > limit_bytes()) {
    return Lookup::kTryAgain;
  }
  const layout::DirectoryBucket* const buckets = Buckets(span);
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  for (uint64_t probe = 0; probe < layout::kMaxProbes; ++probe) {
    const layout::DirectoryBucket& bucket =
        buckets[(hash + probe) & (span.buckets - 1)];
    // All at once: which cell it is cannot be predicted, that there is one can.
    unsigned tagged = TaggedCells(bucket, tag);
    for (; tagged != 0; tagged &= tagged - 1) {
      const Match match =
          LookAt(&bucket.cells[__builtin_ctz(tagged)], tag, key, found);
      if (match == Match::kThis) return Lookup::kFound;
      if (match == Match::kUnclear) return Lookup::kTryAgain;
    }
    if (Memory::Load(&bucket.passed_by, std::memory_order_acquire) == 0) break;
  }
  return Lookup::kAbsent;
}

template <typename Memory>
typename BasicDirectoryReader<Memory>::Match
BasicDirectoryReader<Memory>::LookAt(const uint64_t* cell, uint32_t tag,
                                     const NameKey& key,
                                     FoundObject* found) const {
  Match match = Match::kUnclear;
  for (int i = 0; i < kAttempts && match == Match::kUnclear; ++i) {
    // Told anew: the file may have grown for this entry.
    match = GlanceAt(cell, limit_bytes(), tag, key, found);
  }
  return match;
}

template <typename Memory>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline typename BasicDirectoryReader<Memory>::Match
BasicDirectoryReader<Memory>::GlanceAt(const uint64_t* cell, uint64_t limit,
                                       uint32_t tag, const NameKey& key,
                                       FoundObject* found) const {
  const uint64_t word = Memory::Load(cell, std::memory_order_acquire);
  const uint32_t position = PositionOf(word);
  if (TagOf(word) != tag) return Match::kOther;
  if (!HoldsEntry(position, limit)) {
    return position == 0 ? Match::kOther : Match::kUnclear;
  }
  const layout::DirectoryEntry* const entry = Entry(position);
  const uint64_t control =
      Memory::Load(&entry->control, std::memory_order_acquire);
  if (!IsReadable(control)) return Match::kUnclear;
  const bool named = HasName(position, control, key);
  if (named) {
    found->position = position;
    found->control = control;
    found->state = StateOf(control);
    Copy(entry, found);
  }
  // Both as before: the cell points to this entry, which is not about to be
  // linked only, and nothing in it changed in between. Otherwise the daemon
  // is at it, and has changed the cell before it touched the entry.
  if (Memory::Load(cell, std::memory_order_acquire) != word ||
      Memory::Load(&entry->control, std::memory_order_acquire) != control) {
    return Match::kUnclear;
  }
  return named ? Match::kThis : Match::kOther;
}

template <typename Memory>
inline bool BasicDirectoryReader<Memory>::HasName(uint32_t position,
                                                  uint64_t control,
                                                  const NameKey& key) const {
  const layout::DirectoryEntry* const entry = Entry(position);
  // One after the other: whose hash has the same upper half is nearly always
  // it.
  if (NameLengthOf(control) != key.length) return false;
#pragma GCC unroll 3
  for (size_t i = 0; i < layout::kHotNameWords; ++i) {
    if (Memory::Load(&entry->name[i], std::memory_order_acquire) !=
        key.words[i]) {
      return false;
    }
  }
  for (size_t i = layout::kHotNameWords; i < key.used_words(); ++i) {
    if (Memory::Load(&EntryRest(position)->name[i - layout::kHotNameWords],
                     std::memory_order_acquire) != key.words[i]) {
      return false;
    }
  }
  return true;
}

template <typename Memory>
inline void BasicDirectoryReader<Memory>::Copy(
    const layout::DirectoryEntry* entry, FoundObject* found) const {
  const auto load = [](const auto* word) {
    return Memory::Load(word, std::memory_order_acquire);
  };
  found->arena = load(&entry->arena);
  found->metadata_bytes = load(&entry->metadata_bytes);
  found->generation = load(&entry->generation);
  found->offset_bytes = load(&entry->offset_bytes);
  found->size_bytes = load(&entry->size_bytes);
}

template <typename Memory>
template <typename Visit>
bool BasicDirectoryReader<Memory>::ForEachPosition(Visit visit) const {
  const auto load = [](const auto* word) {
    return Memory::Load(word, std::memory_order_acquire);
  };
  uint64_t left = load(&header()->ready_entries);
  const uint64_t chunks = std::min<uint64_t>(load(&header()->chunk_count),
                                             layout::kMaxDirectoryChunks);
  for (uint64_t i = 0; i < chunks; ++i) {
    const uint32_t first = load(&header()->chunks[i].first_position);
    const uint64_t entries =
        std::min<uint64_t>(left, load(&header()->chunks[i].entries));
    left -= entries;
    for (uint64_t entry = 0; entry < entries; ++entry) {
      if (!visit(EntryPosition(first, entry))) return false;
    }
  }
  return true;
}

template <typename Memory>
template <typename Visit>
void BasicDirectoryReader<Memory>::ForEach(Visit visit) const {
  ForEachPosition([&](uint32_t position) {
    ListedObject listed;
    return !List(position, &listed) ||
           visit(static_cast<const ListedObject&>(listed));
  });
}

template <typename Memory>
template <typename Visit>
bool BasicDirectoryReader<Memory>::ForEachInUse(Visit visit) const {
  return ForEachPosition([&](uint32_t position) {
    if (!HoldsEntry(position, limit_bytes())) return false;
    const layout::DirectoryEntry* const entry = Entry(position);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const uint64_t control =
          Memory::Load(&entry->control, std::memory_order_acquire);
      // One that is being written is of an object that comes only now.
      if (!IsReadable(control) &&
          StateOf(control) != layout::EntryState::kRetired) {
        return true;
      }
      FoundObject object;
      Copy(entry, &object);
      if (Memory::Load(&entry->control, std::memory_order_acquire) == control) {
        visit(object.arena, object.generation);
        return true;
      }
    }
    return false;
  });
}

template <typename Memory>
bool BasicDirectoryReader<Memory>::List(uint32_t position,
                                        ListedObject* listed) const {
  if (!HoldsEntry(position, limit_bytes())) return false;
  const layout::DirectoryEntry* const entry = Entry(position);
  const uint64_t control =
      Memory::Load(&entry->control, std::memory_order_acquire);
  const uint32_t length = NameLengthOf(control);
  if (!IsReadable(control) || length > layout::kMaxObjectIdBytes) return false;
  const auto load = [](const auto* word) {
    return Memory::Load(word, std::memory_order_acquire);
  };
  const layout::DirectoryEntryRest* const rest = EntryRest(position);
  listed->key.length = length;
  for (size_t i = 0; i < layout::kNameWords; ++i) {
    listed->key.words[i] = i < layout::kHotNameWords
                               ? load(&entry->name[i])
                               : load(&rest->name[i - layout::kHotNameWords]);
  }
  listed->create_time_ns = load(&rest->create_time_ns);
  listed->expire_time_ns = load(&rest->expire_time_ns);
  listed->owner = load(&rest->owner);
  // Not all that is available is in the directory: it may be about to be put
  // there, or have been replaced. Who is found under its name is.
  return Find(listed->key, &listed->object) == Lookup::kFound &&
         listed->object.position == position &&
         listed->object.control == control;
}

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_READER_H_
