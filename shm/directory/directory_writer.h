#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_WRITER_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_WRITER_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "shm/directory/directory_file.h"
#include "shm/directory/directory_recovery.h"
#include "shm/directory/directory_space.h"
#include "shm/directory/directory_table.h"
#include "shm/directory/name_key.h"
#include "shm/layout/memory_word.h"

namespace shmd {

// The directory of a namespace, on the side of the daemon: the only one who
// writes it. Takes memory as names come: 4 KiB without any. What ends with an
// error has changed nothing that readers see. Not thread-safe, but nobody who
// reads the directory has to be kept out.
//
// An entry goes through these hands: Publish() makes it live; Unlink(), or
// Publish() of its name, retires it; Free() makes it usable again, which is
// for who has found no pin on it (shm/directory/pins.h) after that.
template <typename Memory>
class BasicDirectoryWriter {
 public:
  // SIZE_INVALID for more entries than a directory can have.
  static absl::StatusOr<BasicDirectoryWriter> Create(
      const DirectoryOptions& options) {
    ASSIGN_OR_RETURN(BasicDirectorySpace<Memory> space,
                     BasicDirectorySpace<Memory>::Create(options));
    return BasicDirectoryWriter(std::move(space));
  }

  // In a memfd of another maker, which cannot shrink: goes on with what is
  // there, or begins.
  static absl::StatusOr<BasicDirectoryWriter> Open(
      UniqueFd fd, const DirectoryOptions& options) {
    ASSIGN_OR_RETURN(const bool is_ready, DirectoryFile::IsReady(fd.get()));
    if (is_ready) return TakeUp(std::move(fd), options);
    ASSIGN_OR_RETURN(const uint64_t max_size_bytes,
                     MaxDirectorySizeBytes(options.max_entries));
    ASSIGN_OR_RETURN(DirectoryFile file,
                     DirectoryFile::Adopt(std::move(fd), max_size_bytes));
    ASSIGN_OR_RETURN(
        BasicDirectorySpace<Memory> space,
        BasicDirectorySpace<Memory>::Create(std::move(file), options));
    return BasicDirectoryWriter(std::move(space));
  }

  // Goes on with what an earlier run has left, at whichever store it ended.
  // Only the memory limits of `options` count: it has as many entries as it
  // was made for. LAYOUT_VERSION_MISMATCH, HEADER_CORRUPT.
  static absl::StatusOr<BasicDirectoryWriter> TakeUp(
      UniqueFd fd, const DirectoryOptions& options) {
    ASSIGN_OR_RETURN(
        BasicDirectorySpace<Memory> space,
        BasicDirectorySpace<Memory>::TakeUp(std::move(fd), options));
    BasicDirectoryWriter writer(std::move(space));
    writer.Recover();
    return writer;
  }

  // Puts an object into the directory, in place of the one of that name if
  // there is any. `position` is its entry, `replaced` that of the object which
  // was replaced and is retired now, or 0. DIRECTORY_FULL, MEMORY_EXHAUSTED.
  absl::Status Publish(const NameKey& key, const EntryFields& fields,
                       uint32_t* position, uint32_t* replaced = nullptr);

  // Takes the memory that Publish() of so many names more may need, so that
  // none of them lacks it. DIRECTORY_FULL, MEMORY_EXHAUSTED.
  absl::Status Reserve(uint64_t entries);

  // Takes a live entry out of the directory and retires it. False when it is
  // not live.
  bool Unlink(uint32_t position);

  // Makes a retired entry usable again. False when it is not retired.
  bool Free(uint32_t position);

  // The live entry of a name; 0 when there is none.
  uint32_t Find(const NameKey& key) const { return table().Find(key).position; }

  // Of a live or a retired entry.
  EntryFields fields(uint32_t position) const {
    return table().FieldsOf(position);
  }
  NameKey key(uint32_t position) const { return table().KeyOf(position); }

  // A number that no object of this directory has had, from 1.
  uint64_t NextGeneration();

  // The greatest that there has been.
  uint64_t last_generation() const { return last_generation_; }

  // A number that no arena of this directory has had, in no run: programs may
  // still have one that is gone mapped under its number.
  uint32_t NextArena();

  // Whether there is a live entry at a position, which may be any number.
  bool IsLive(uint32_t position) const {
    return space_.Holds(position) && IsReadable(table().Control(position));
  }

  // Puts the end of the object's lease off, in seconds since 1970.
  void SetLease(uint32_t position, uint32_t expire_s) {
    table().SetLease(position, expire_s);
  }

  // Calls `visit(position)` for each live entry; it may unlink that one.
  template <typename Visit>
  void ForEach(Visit visit) const {
    space_.runs().ForEach(space_.ready(), [&](uint32_t position, uint64_t) {
      if (IsReadable(table().Control(position))) visit(position);
    });
  }

  // The same of entries with numbers in [first, last), of ready().
  template <typename Visit>
  void ForEachBetween(uint64_t first, uint64_t last, Visit visit) const {
    space_.runs().ForEachBetween(first, std::min(last, space_.ready()),
                                 [&](uint32_t position, uint64_t) {
                                   if (IsReadable(table().Control(position)))
                                     visit(position);
                                 });
  }
  // The same in the order of their positions, from behind that of an entry on,
  // 0 for all, until `visit` returns false.
  template <typename Visit>
  void ForEachBehind(uint32_t after, Visit visit) const {
    const uint64_t first = after == 0 ? 0 : space_.runs().NumberOf(after) + 1;
    space_.runs().ForEachFrom(first, space_.ready(), [&](uint32_t position) {
      return !IsReadable(table().Control(position)) || visit(position);
    });
  }

  // Entries that are retired and wait to be freed.
  const absl::flat_hash_set<uint32_t>& retired() const { return retired_; }

  uint64_t live() const { return live_; }
  uint64_t buckets() const { return table().index().buckets; }
  // Entries that have memory: those that are live, retired or free.
  uint64_t ready() const { return space_.ready(); }
  uint64_t free_entries() const {
    return free_.size() + space_.ready() - fresh_;
  }
  absl::StatusOr<uint64_t> MemoryBytes() const {
    return space_.file().MemoryBytes();
  }

  // The memfd itself, for the keeper of descriptors, and for readers.
  int fd() const { return space_.file().fd(); }
  absl::StatusOr<UniqueFd> ReadOnlyFd() const {
    return space_.file().ReadOnlyFd();
  }
  uint64_t max_size_bytes() const { return space_.file().max_size_bytes(); }

 private:
  using Table = BasicDirectoryTable<Memory>;

  explicit BasicDirectoryWriter(BasicDirectorySpace<Memory> space)
      : space_(std::move(space)) {}

  const Table& table() const { return space_.table(); }
  void Recover();
  void SetLive(uint64_t live);
  void RetireEntry(uint32_t position) {
    retired_.insert(position);
    table().Retire(position);
  }

  // An unused cell for a name that is not in the index, which grows for it.
  absl::StatusOr<typename Table::Place> MakeRoom(uint64_t hash);
  absl::Status GrowIndexFor(uint64_t names);

  // Memory for an entry, which is free; it is not taken yet.
  absl::StatusOr<uint32_t> NextEntry();
  void TakeEntry();

  BasicDirectorySpace<Memory> space_;
  std::deque<uint32_t> free_;  // the one that is used next is in front
  absl::flat_hash_set<uint32_t> retired_;
  uint64_t fresh_ = 0;  // number of the first entry that was never used
  uint64_t live_ = 0;
  uint64_t last_generation_ = 0;
};

using DirectoryWriter = BasicDirectoryWriter<layout::HostMemory>;

template <typename Memory>
void BasicDirectoryWriter<Memory>::Recover() {
  RecoveredEntries recovered =
      BasicDirectoryRecovery<Memory>(table(), space_.runs(), space_.ready())
          .Run();
  free_.assign(recovered.free.begin(), recovered.free.end());
  retired_.insert(recovered.retired.begin(), recovered.retired.end());
  fresh_ = space_.ready();
  last_generation_ = std::max(recovered.last_generation,
                              Table::Read(&table().header()->last_generation));
  SetLive(recovered.live);
}

template <typename Memory>
void BasicDirectoryWriter<Memory>::SetLive(uint64_t live) {
  live_ = live;
  Memory::Store(&table().header()->live_entries, live,
                std::memory_order_relaxed);
}

template <typename Memory>
uint64_t BasicDirectoryWriter<Memory>::NextGeneration() {
  ++last_generation_;
  // Before anybody can see an object of this generation.
  Memory::Store(&table().header()->last_generation, last_generation_,
                std::memory_order_release);
  return last_generation_;
}

template <typename Memory>
uint32_t BasicDirectoryWriter<Memory>::NextArena() {
  uint64_t* const place = &table().header()->last_arena;
  const uint64_t number = Table::Read(place) + 1;
  // Before there is an arena of that number.
  Memory::Store(place, number, std::memory_order_release);
  return static_cast<uint32_t>(number);
}

template <typename Memory>
absl::StatusOr<typename BasicDirectoryTable<Memory>::Place>
BasicDirectoryWriter<Memory>::MakeRoom(uint64_t hash) {
  RETURN_IF_ERROR(GrowIndexFor(live_ + 1));
  typename Table::Place place = table().FindUnused(table().index(), hash);
  if (place.cell != nullptr) return place;
  return NoRoomForName();
}

template <typename Memory>
absl::Status BasicDirectoryWriter<Memory>::GrowIndexFor(uint64_t names) {
  while (space_.IndexIsSmall(names)) {
    const absl::Status grown = space_.GrowIndex();
    if (grown.ok()) continue;
    // A fuller index than one would like still works.
    return table().index().buckets == 0 ? grown : absl::OkStatus();
  }
  return absl::OkStatus();
}

template <typename Memory>
absl::Status BasicDirectoryWriter<Memory>::Reserve(uint64_t entries) {
  while (free_entries() < entries) {
    // Only of the last chunk can those be fresh that were never used.
    for (; fresh_ < space_.ready(); ++fresh_) {
      free_.push_back(space_.PositionOf(fresh_));
    }
    RETURN_IF_ERROR(space_.AddEntries());
  }
  return GrowIndexFor(live_ + entries);
}

template <typename Memory>
absl::StatusOr<uint32_t> BasicDirectoryWriter<Memory>::NextEntry() {
  if (!free_.empty()) return free_.front();
  if (fresh_ == space_.ready()) RETURN_IF_ERROR(space_.AddEntries());
  return space_.PositionOf(fresh_);
}

template <typename Memory>
void BasicDirectoryWriter<Memory>::TakeEntry() {
  if (free_.empty()) {
    ++fresh_;
  } else {
    free_.pop_front();
  }
}

template <typename Memory>
absl::Status BasicDirectoryWriter<Memory>::Publish(const NameKey& key,
                                                   const EntryFields& fields,
                                                   uint32_t* position,
                                                   uint32_t* replaced) {
  ASSIGN_OR_RETURN(const uint32_t entry, NextEntry());
  const uint64_t hash = table().Hash(key);
  const typename Table::Place old = table().Find(key);
  typename Table::Place place = old;
  if (old.cell == nullptr) {
    ASSIGN_OR_RETURN(place, MakeRoom(hash));
  }
  TakeEntry();
  table().Fill(entry, key, fields);
  if (old.cell != nullptr) {
    table().Relink(place, hash, entry);
    RetireEntry(old.position);
  } else {
    table().Link(table().index(), place, hash, entry);
    SetLive(live_ + 1);
  }
  *position = entry;
  if (replaced != nullptr) *replaced = old.position;
  return absl::OkStatus();
}

template <typename Memory>
bool BasicDirectoryWriter<Memory>::Unlink(uint32_t position) {
  if (!space_.Holds(position) || !IsReadable(table().Control(position))) {
    return false;
  }
  const typename Table::Place place = table().Find(table().KeyOf(position));
  if (place.position != position) return false;
  table().Unlink(place);
  RetireEntry(position);
  SetLive(live_ - 1);
  return true;
}

template <typename Memory>
bool BasicDirectoryWriter<Memory>::Free(uint32_t position) {
  if (retired_.erase(position) == 0) return false;
  table().MarkFree(position);
  // At the end, so that it is long until somebody who still knows of it can
  // find something else there.
  free_.push_back(position);
  return true;
}

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_WRITER_H_
