#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_TABLE_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shm/directory/directory_words.h"
#include "shm/directory/name_key.h"
#include "shm/layout/directory_layout.h"
#include "shm/layout/memory_word.h"

namespace shmd {

// What is published of an object, but for its name.
struct EntryFields {
  layout::EntryState state = layout::EntryState::kAvailable;
  uint8_t priority = 0;
  uint8_t flags = 0;
  uint32_t arena = 0;
  uint32_t metadata_bytes = 0;
  uint64_t generation = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  uint64_t create_time_ns = 0;
  uint64_t expire_time_ns = 0;
  uint32_t owner = 0;
  // Until when a lease holds, in seconds since 1970; 0: there is none.
  uint32_t lease_expire_s = 0;
};

// The daemon's single steps in a directory's memory. Each may be the last
// before it is killed, and readers look on all the time: the order of the
// stores is the contract, docs/memory_layout.md. The steps are
//
//   publish   Fill, then Link
//   replace   Fill, then Relink, then Retire the old entry
//   delete    Unlink, then Retire
//   free      MarkFree, when no pin names the entry
//
// Reads what it wrote itself, so takes positions and cells as they are; after
// a restart shm/directory/directory_recovery.h makes that true again. Owns
// nothing. Not thread-safe.
template <typename Memory>
class BasicDirectoryTable {
 public:
  // The cell that points to an entry, or that may.
  struct Place {
    uint64_t* cell = nullptr;  // null: there is none
    uint64_t home = 0;         // the bucket that the name's hash picks
    uint64_t probes = 0;       // how many buckets after it
    uint32_t position = 0;     // of the entry; 0 for an unused cell
  };

  BasicDirectoryTable() = default;
  explicit BasicDirectoryTable(void* base)
      : base_(static_cast<char*>(base)),
        hash_seed_(Read(&header()->hash_seed)) {}

  layout::DirectoryHeader* header() const {
    // SAFETY: the mapping starts with the header.
    return reinterpret_cast<layout::DirectoryHeader*>(base_);
  }
  IndexSpan index() const { return IndexSpan::Of(Read(&header()->index)); }
  uint64_t Hash(const NameKey& key) const { return HashName(hash_seed_, key); }

  // The cell of a name in the index.
  Place Find(const NameKey& key) const;

  // An unused cell for a name in `span`; none when all of its probes are used.
  Place FindUnused(const IndexSpan& span, uint64_t hash) const;

  // Writes an entry that no cell points to.
  void Fill(uint32_t position, const NameKey& key,
            const EntryFields& fields) const;

  // Has an unused cell point to an entry.
  void Link(const IndexSpan& span, const Place& place, uint64_t hash,
            uint32_t position) const;

  // Has the cell of a name point to another entry of that name.
  void Relink(const Place& place, uint64_t hash, uint32_t position) const {
    Memory::Store(place.cell, CellOf(hash, position),
                  std::memory_order_release);
  }

  // Makes a cell unused.
  void Unlink(const Place& place) const;

  // Tells readers of an entry that it is not in the directory any more. Pins
  // that are read after this are all that there will be.
  void Retire(uint32_t position) const {
    Change(position, layout::EntryState::kRetired, std::memory_order_seq_cst);
  }
  // Of a live entry. In the word that is reserved to readers, for the daemon
  // alone reads it.
  void SetLease(uint32_t position, uint32_t expire_s) const {
    Memory::Store(&EntryRest(position)->reserved, expire_s,
                  std::memory_order_release);
  }
  void MarkFree(uint32_t position) const {
    Change(position, layout::EntryState::kFree, std::memory_order_release);
  }

  uint64_t Control(uint32_t position) const {
    return Read(&Entry(position)->control);
  }
  NameKey KeyOf(uint32_t position) const;
  EntryFields FieldsOf(uint32_t position) const;

  layout::DirectoryBucket* Bucket(const IndexSpan& span,
                                  uint64_t number) const {
    // SAFETY: an index lies within the file; numbers are taken modulo its
    // size.
    return reinterpret_cast<layout::DirectoryBucket*>(base_ +
                                                      span.offset_bytes) +
           (number & (span.buckets - 1));
  }

  // Words that this process alone writes.
  template <typename Word>
  static Word Read(const Word* word) {
    return Memory::Load(word, std::memory_order_relaxed);
  }

 private:
  layout::DirectoryEntry* Entry(uint32_t position) const {
    // SAFETY: positions lie within the file: the daemon made them, or
    // recovery has checked them.
    return reinterpret_cast<layout::DirectoryEntry*>(
        base_ + layout::EntryOffsetBytes(position));
  }
  layout::DirectoryEntryRest* EntryRest(uint32_t position) const {
    // SAFETY: as Entry().
    return reinterpret_cast<layout::DirectoryEntryRest*>(
        base_ + layout::EntryRestOffsetBytes(position));
  }
  uint64_t* NameWord(uint32_t position, size_t i) const {
    return i < layout::kHotNameWords
               ? &Entry(position)->name[i]
               : &EntryRest(position)->name[i - layout::kHotNameWords];
  }
  bool HasName(uint32_t position, const NameKey& key) const;

  void Change(uint32_t position, layout::EntryState state,
              std::memory_order order) const {
    uint64_t* const control = &Entry(position)->control;
    Memory::Store(control, ControlWord::Of(Read(control)).Next(state).word(),
                  order);
  }

  char* base_ = nullptr;
  uint64_t hash_seed_ = 0;
};

template <typename Memory>
typename BasicDirectoryTable<Memory>::Place BasicDirectoryTable<Memory>::Find(
    const NameKey& key) const {
  const IndexSpan span = index();
  const uint64_t hash = Hash(key);
  Place place;
  place.home = hash;
  if (span.buckets == 0) return place;
  for (; place.probes < layout::kMaxProbes; ++place.probes) {
    layout::DirectoryBucket* const bucket = Bucket(span, hash + place.probes);
    for (uint64_t& cell : bucket->cells) {
      const uint64_t word = Read(&cell);
      if (TagOf(word) != TagOf(hash) || PositionOf(word) == 0) continue;
      if (!HasName(PositionOf(word), key)) continue;
      place.cell = &cell;
      place.position = PositionOf(word);
      return place;
    }
    if (Read(&bucket->passed_by) == 0) break;
  }
  return place;
}

template <typename Memory>
typename BasicDirectoryTable<Memory>::Place
BasicDirectoryTable<Memory>::FindUnused(const IndexSpan& span,
                                        uint64_t hash) const {
  Place place;
  place.home = hash;
  if (span.buckets == 0) return place;
  for (; place.probes < layout::kMaxProbes; ++place.probes) {
    for (uint64_t& cell : Bucket(span, hash + place.probes)->cells) {
      if (PositionOf(Read(&cell)) != 0) continue;
      place.cell = &cell;
      return place;
    }
  }
  return place;
}

template <typename Memory>
void BasicDirectoryTable<Memory>::Fill(uint32_t position, const NameKey& key,
                                       const EntryFields& fields) const {
  layout::DirectoryEntry* const entry = Entry(position);
  ControlWord control =
      ControlWord::Of(Read(&entry->control)).Next(layout::EntryState::kWriting);
  Memory::Store(&entry->control, control.word(), std::memory_order_release);
  // Each with release: who sees one of these sees kWriting as well, and knows
  // that what he is reading is not what it was.
  const auto store = [](auto* word, auto value) {
    Memory::Store(word, value, std::memory_order_release);
  };
  store(&entry->arena, fields.arena);
  store(&entry->metadata_bytes, fields.metadata_bytes);
  store(&entry->generation, fields.generation);
  store(&entry->offset_bytes, fields.offset_bytes);
  store(&entry->size_bytes, fields.size_bytes);
  for (size_t i = 0; i < layout::kNameWords; ++i) {
    store(NameWord(position, i), key.words[i]);
  }
  layout::DirectoryEntryRest* const rest = EntryRest(position);
  store(&rest->create_time_ns, fields.create_time_ns);
  store(&rest->expire_time_ns, fields.expire_time_ns);
  store(&rest->owner, fields.owner);
  store(&rest->reserved, fields.lease_expire_s);
  control = control.Next(fields.state);
  control.name_length = static_cast<uint8_t>(key.length);
  control.priority = fields.priority;
  control.flags = fields.flags;
  Memory::Store(&entry->control, control.word(), std::memory_order_release);
}

template <typename Memory>
void BasicDirectoryTable<Memory>::Link(const IndexSpan& span,
                                       const Place& place, uint64_t hash,
                                       uint32_t position) const {
  // Before the cell: who finds the cell missing must have been told to go on.
  for (uint64_t i = 0; i < place.probes; ++i) {
    uint64_t* const passed_by = &Bucket(span, place.home + i)->passed_by;
    Memory::Store(passed_by, Read(passed_by) + 1, std::memory_order_release);
  }
  Memory::Store(place.cell, CellOf(hash, position), std::memory_order_release);
}

template <typename Memory>
void BasicDirectoryTable<Memory>::Unlink(const Place& place) const {
  Memory::Store(place.cell, uint64_t{0}, std::memory_order_release);
  const IndexSpan span = index();
  for (uint64_t i = 0; i < place.probes; ++i) {
    uint64_t* const passed_by = &Bucket(span, place.home + i)->passed_by;
    Memory::Store(passed_by, Read(passed_by) - 1, std::memory_order_release);
  }
}

template <typename Memory>
bool BasicDirectoryTable<Memory>::HasName(uint32_t position,
                                          const NameKey& key) const {
  if (NameLengthOf(Control(position)) != key.length) return false;
  for (size_t i = 0; i < key.used_words(); ++i) {
    if (Read(NameWord(position, i)) != key.words[i]) return false;
  }
  return true;
}

template <typename Memory>
NameKey BasicDirectoryTable<Memory>::KeyOf(uint32_t position) const {
  NameKey key;
  key.length = NameLengthOf(Control(position));
  for (size_t i = 0; i < layout::kNameWords; ++i) {
    key.words[i] = Read(NameWord(position, i));
  }
  return key;
}

template <typename Memory>
EntryFields BasicDirectoryTable<Memory>::FieldsOf(uint32_t position) const {
  const layout::DirectoryEntry* const entry = Entry(position);
  const layout::DirectoryEntryRest* const rest = EntryRest(position);
  const ControlWord control = ControlWord::Of(Read(&entry->control));
  EntryFields fields;
  fields.state = control.state;
  fields.priority = control.priority;
  fields.flags = control.flags;
  fields.arena = Read(&entry->arena);
  fields.metadata_bytes = Read(&entry->metadata_bytes);
  fields.generation = Read(&entry->generation);
  fields.offset_bytes = Read(&entry->offset_bytes);
  fields.size_bytes = Read(&entry->size_bytes);
  fields.create_time_ns = Read(&rest->create_time_ns);
  fields.expire_time_ns = Read(&rest->expire_time_ns);
  fields.owner = Read(&rest->owner);
  fields.lease_expire_s = Read(&rest->reserved);
  return fields;
}

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_TABLE_H_
