#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_SPACE_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_SPACE_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "shm/directory/directory_file.h"
#include "shm/directory/directory_recovery.h"
#include "shm/directory/directory_table.h"
#include "shm/directory/directory_words.h"
#include "shm/layout/directory_layout.h"

namespace shmd {

struct DirectoryOptions {
  // At most so many objects, live and retired; a few more may fit.
  uint64_t max_entries = uint64_t{1} << 20;
  // Memory that is left to others.
  uint64_t memory_reserve_bytes = 0;
};

inline constexpr uint64_t kMaxDirectoryEntries = 100'000'000;

// How large a directory of so many entries can become. SIZE_INVALID for more
// than kMaxDirectoryEntries, and for none.
absl::StatusOr<uint64_t> MaxDirectorySizeBytes(uint64_t max_entries);

// How many entries a directory of this size was made for.
uint64_t MaxEntriesOf(uint64_t max_size_bytes);

// How many entries the chunk after so many has.
uint64_t NextChunkEntries(uint64_t entries, uint64_t max_entries);

// DIRECTORY_FULL.
absl::Status NoRoomForName();
absl::Status NoRoomForEntry(uint64_t entries);

// HEADER_CORRUPT.
absl::Status DirectoryIsCorrupt();

// What to write into a new directory's header but for its version.
layout::DirectoryHeader NewDirectoryHeader(uint64_t max_size_bytes);

// A run of bytes of the file, of an index or a chunk.
struct ByteRange {
  uint64_t offset_bytes;
  uint64_t length_bytes;
  uint64_t end_bytes() const { return offset_bytes + length_bytes; }
};

// What is between these ranges and the header, up to `end_bytes`.
// HEADER_CORRUPT when they overlap or reach beyond it.
absl::StatusOr<std::vector<ByteRange>> GapsBetween(std::vector<ByteRange> used,
                                                   uint64_t end_bytes);

// Where in a directory's file its entries and its index are, and how they
// grow. The last step of each growth is one store; what led to it is found
// and given back by TakeUp(). Move-only; not thread-safe.
template <typename Memory>
class BasicDirectorySpace {
 public:
  static absl::StatusOr<BasicDirectorySpace> Create(
      const DirectoryOptions& options);
  // In an empty file.
  static absl::StatusOr<BasicDirectorySpace> Create(
      DirectoryFile file, const DirectoryOptions& options);
  static absl::StatusOr<BasicDirectorySpace> TakeUp(
      UniqueFd fd, const DirectoryOptions& options);

  const BasicDirectoryTable<Memory>& table() const { return table_; }
  const DirectoryFile& file() const { return file_; }
  const EntryRuns& runs() const { return runs_; }

  // How many of the entries have memory.
  uint64_t ready() const { return ready_; }
  bool Holds(uint32_t position) const {
    return runs_.NumberOf(position) < ready_;
  }
  // Of an entry of the last chunk.
  uint32_t PositionOf(uint64_t number) const {
    return EntryPosition(last_chunk_.first_position,
                         number - (runs_.total() - last_chunk_.entries));
  }

  // Gives memory to some entries more.
  absl::Status AddEntries();

  // Whether the index is too small for so many names.
  bool IndexIsSmall(uint64_t names) const {
    return names > table_.index().buckets * kNamesInBucket;
  }
  // Makes the index anew, twice as large.
  absl::Status GrowIndex();

 private:
  // Of seven cells. With five, one name in thirty is not where it hashes to.
  static constexpr uint64_t kNamesInBucket = 5;
  static constexpr uint64_t kFirstBuckets = 64;
  // Memory for entries is taken in such steps: the daemon pauses for it.
  static constexpr uint64_t kEntriesInStep = 2048;

  explicit BasicDirectorySpace(DirectoryFile file, uint64_t reserve_bytes)
      : file_(std::move(file)),
        table_(file_.base()),
        memory_reserve_bytes_(reserve_bytes),
        max_entries_(MaxEntriesOf(file_.max_size_bytes())) {}

  layout::DirectoryHeader* header() const { return table_.header(); }
  absl::Status AddChunk();
  absl::Status Extend(uint64_t end_bytes);
  absl::Status ReadRanges(std::vector<ByteRange>* used);
  absl::Status FillIndex(const IndexSpan& span) const;

  DirectoryFile file_;
  BasicDirectoryTable<Memory> table_;
  uint64_t memory_reserve_bytes_;
  uint64_t max_entries_;
  EntryRuns runs_;
  layout::DirectoryChunk last_chunk_ = {};
  uint64_t chunks_ = 0;
  uint64_t ready_ = 0;
  uint64_t end_bytes_ = sizeof(layout::DirectoryHeader);
};

template <typename Memory>
absl::StatusOr<BasicDirectorySpace<Memory>> BasicDirectorySpace<Memory>::Create(
    const DirectoryOptions& options) {
  ASSIGN_OR_RETURN(const uint64_t max_size_bytes,
                   MaxDirectorySizeBytes(options.max_entries));
  ASSIGN_OR_RETURN(DirectoryFile file, DirectoryFile::Create(max_size_bytes));
  return Create(std::move(file), options);
}

template <typename Memory>
absl::StatusOr<BasicDirectorySpace<Memory>> BasicDirectorySpace<Memory>::Create(
    DirectoryFile file, const DirectoryOptions& options) {
  RETURN_IF_ERROR(file.Extend(sizeof(layout::DirectoryHeader)));
  RETURN_IF_ERROR(file.TakeMemory(0, sizeof(layout::DirectoryHeader),
                                  options.memory_reserve_bytes));
  // SAFETY: the mapping starts with the header.
  auto* const header = static_cast<layout::DirectoryHeader*>(file.base());
  *header = NewDirectoryHeader(file.max_size_bytes());
  Memory::Store(&header->version, layout::kDirectoryVersion,
                std::memory_order_release);
  return BasicDirectorySpace(std::move(file), options.memory_reserve_bytes);
}

template <typename Memory>
absl::StatusOr<BasicDirectorySpace<Memory>> BasicDirectorySpace<Memory>::TakeUp(
    UniqueFd fd, const DirectoryOptions& options) {
  ASSIGN_OR_RETURN(DirectoryFile file, DirectoryFile::TakeUp(std::move(fd)));
  BasicDirectorySpace space(std::move(file), options.memory_reserve_bytes);
  std::vector<ByteRange> used;
  RETURN_IF_ERROR(space.ReadRanges(&used));
  ASSIGN_OR_RETURN(const std::vector<ByteRange> gaps,
                   GapsBetween(used, space.file_.size_bytes()));
  for (const ByteRange& range : used) {
    space.end_bytes_ = std::max(space.end_bytes_, range.end_bytes());
  }
  // What was begun and not finished, or left and not yet given back.
  for (const ByteRange& gap : gaps) {
    RETURN_IF_ERROR(space.file_.GiveBack(gap.offset_bytes, gap.length_bytes));
  }
  return space;
}

// Readers of the words: GapsBetween() finds what lies outside.
template <typename Memory>
absl::Status BasicDirectorySpace<Memory>::ReadRanges(
    std::vector<ByteRange>* used) {
  const IndexSpan span = table_.index();
  if (span.buckets != 0) {
    used->push_back({span.offset_bytes, span.buckets * layout::kBucketBytes});
  }
  chunks_ = table_.Read(&header()->chunk_count);
  ready_ = table_.Read(&header()->ready_entries);
  if (chunks_ > layout::kMaxDirectoryChunks ||
      (span.buckets == 0 && table_.Read(&header()->index) != 0)) {
    return DirectoryIsCorrupt();
  }
  for (uint64_t i = 0; i < chunks_; ++i) {
    last_chunk_.first_position =
        table_.Read(&header()->chunks[i].first_position);
    last_chunk_.entries = table_.Read(&header()->chunks[i].entries);
    runs_.Add(last_chunk_.first_position, last_chunk_.entries);
    used->push_back({last_chunk_.first_position * layout::kPositionBytes,
                     last_chunk_.entries * layout::kEntryBytes});
  }
  // All but the last chunk are ready.
  if (ready_ > runs_.total() || ready_ + last_chunk_.entries < runs_.total()) {
    return DirectoryIsCorrupt();
  }
  return absl::OkStatus();
}

template <typename Memory>
absl::Status BasicDirectorySpace<Memory>::Extend(uint64_t end_bytes) {
  RETURN_IF_ERROR(file_.Extend(end_bytes));
  // Before any word that points there.
  Memory::Store(&header()->size_bytes, file_.size_bytes(),
                std::memory_order_release);
  return absl::OkStatus();
}

template <typename Memory>
absl::Status BasicDirectorySpace<Memory>::AddChunk() {
  const uint64_t entries = NextChunkEntries(runs_.total(), max_entries_);
  if (entries == 0 || chunks_ == layout::kMaxDirectoryChunks) {
    return NoRoomForEntry(runs_.total());
  }
  layout::DirectoryChunk chunk = {};
  chunk.first_position =
      static_cast<uint32_t>(end_bytes_ / layout::kPositionBytes);
  chunk.entries = static_cast<uint32_t>(entries);
  RETURN_IF_ERROR(Extend(end_bytes_ + entries * layout::kEntryBytes));
  layout::DirectoryChunk* const slot = &header()->chunks[chunks_];
  Memory::Store(&slot->first_position, chunk.first_position,
                std::memory_order_release);
  Memory::Store(&slot->entries, chunk.entries, std::memory_order_release);
  ++chunks_;
  Memory::Store(&header()->chunk_count, chunks_, std::memory_order_release);
  last_chunk_ = chunk;
  runs_.Add(chunk.first_position, chunk.entries);
  end_bytes_ += entries * layout::kEntryBytes;
  return absl::OkStatus();
}

template <typename Memory>
absl::Status BasicDirectorySpace<Memory>::AddEntries() {
  if (ready_ == runs_.total()) RETURN_IF_ERROR(AddChunk());
  const uint64_t entries = std::min(kEntriesInStep, runs_.total() - ready_);
  RETURN_IF_ERROR(file_.TakeMemory(PositionOf(ready_) * layout::kPositionBytes,
                                   entries * layout::kEntryBytes,
                                   memory_reserve_bytes_));
  ready_ += entries;
  Memory::Store(&header()->ready_entries, ready_, std::memory_order_release);
  return absl::OkStatus();
}

template <typename Memory>
absl::Status BasicDirectorySpace<Memory>::GrowIndex() {
  const IndexSpan old = table_.index();
  IndexSpan span;
  span.offset_bytes = end_bytes_;
  span.buckets = std::max(kFirstBuckets, old.buckets * 2);
  const uint64_t length_bytes = span.buckets * layout::kBucketBytes;
  RETURN_IF_ERROR(Extend(span.end_bytes()));
  RETURN_IF_ERROR(
      file_.TakeMemory(span.offset_bytes, length_bytes, memory_reserve_bytes_));
  const absl::Status filled = FillIndex(span);
  if (!filled.ok()) {
    RETURN_IF_ERROR(file_.GiveBack(span.offset_bytes, length_bytes));
    return filled;
  }
  Memory::Store(&header()->index, span.word(), std::memory_order_release);
  end_bytes_ = span.end_bytes();
  if (old.buckets == 0) return absl::OkStatus();
  // Who still reads there finds nothing, and then that the index is another.
  // Memory that is not given back now is at the next start.
  file_.GiveBack(old.offset_bytes, old.buckets * layout::kBucketBytes)
      .IgnoreError();
  return absl::OkStatus();
}

template <typename Memory>
absl::Status BasicDirectorySpace<Memory>::FillIndex(
    const IndexSpan& span) const {
  absl::Status status;
  runs_.ForEach(ready_, [&](uint32_t position, uint64_t) {
    if (!status.ok() || !IsReadable(table_.Control(position))) return;
    const uint64_t hash = table_.Hash(table_.KeyOf(position));
    const auto place = table_.FindUnused(span, hash);
    if (place.cell == nullptr) {
      status = NoRoomForName();
      return;
    }
    table_.Link(span, place, hash, position);
  });
  return status;
}

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_SPACE_H_
