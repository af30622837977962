#ifndef SHMD_SHM_DIRECTORY_DIRECTORY_RECOVERY_H_
#define SHMD_SHM_DIRECTORY_DIRECTORY_RECOVERY_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "shm/directory/directory_table.h"
#include "shm/directory/directory_words.h"
#include "shm/directory/name_key.h"
#include "shm/layout/directory_layout.h"

namespace shmd {

// The entries of a directory, numbered through its chunks. Not thread-safe.
class EntryRuns {
 public:
  void Add(uint32_t first_position, uint64_t entries) {
    runs_.push_back({first_position, entries, total_});
    total_ += entries;
  }
  uint64_t total() const { return total_; }

  // The number of the entry at a position; total() when there is none.
  uint64_t NumberOf(uint32_t position) const {
    const auto next = std::upper_bound(
        runs_.begin(), runs_.end(), position,
        [](uint32_t at, const Run& run) { return at < run.first_position; });
    if (next == runs_.begin()) return total_;
    const Run& run = *(next - 1);
    const uint64_t number = EntryNumber(run.first_position, position);
    return number < run.entries ? run.first_number + number : total_;
  }

  // Calls `visit(position, number)` for the first `entries` of them.
  template <typename Visit>
  void ForEach(uint64_t entries, Visit visit) const {
    ForEachBetween(0, entries, visit);
  }
  // The same of those with numbers in [first, last).
  template <typename Visit>
  void ForEachBetween(uint64_t first, uint64_t last, Visit visit) const {
    for (const Run& run : runs_) {
      const uint64_t begin = std::max(first, run.first_number);
      const uint64_t end = std::min(last, run.first_number + run.entries);
      for (uint64_t number = begin; number < end; ++number) {
        visit(EntryPosition(run.first_position, number - run.first_number),
              number);
      }
    }
  }

  // Calls `visit(position)` for those from number `first` on that are among the
  // first `entries`, until it returns false.
  template <typename Visit>
  void ForEachFrom(uint64_t first, uint64_t entries, Visit visit) const {
    for (const Run& run : runs_) {
      uint64_t i = first > run.first_number ? first - run.first_number : 0;
      for (; i < run.entries; ++i) {
        if (run.first_number + i >= entries) return;
        if (!visit(EntryPosition(run.first_position, i))) return;
      }
    }
  }

 private:
  struct Run {
    uint32_t first_position;
    uint64_t entries;
    uint64_t first_number;
  };
  std::vector<Run> runs_;
  uint64_t total_ = 0;
};

// What became of the entries of a directory.
struct RecoveredEntries {
  std::vector<uint32_t> free;
  std::vector<uint32_t> retired;
  uint64_t live = 0;
  uint64_t last_generation = 0;
};

// Makes a directory whole that a daemon has left at any store, while others
// read it: what was linked stays; what was only written, or was unlinked, is
// retired, for somebody may have it pinned; counts are made anew. Every word
// is checked. `runs` and the index lie within the file; the first `ready` of
// the entries have memory.
template <typename Memory>
class BasicDirectoryRecovery {
 public:
  BasicDirectoryRecovery(const BasicDirectoryTable<Memory>& table,
                         const EntryRuns& runs, uint64_t ready)
      : table_(table),
        runs_(runs),
        ready_(ready),
        span_(table.index()),
        linked_(ready),
        passed_by_(span_.buckets) {}

  RecoveredEntries Run() {
    for (uint64_t i = 0; i < span_.buckets; ++i) {
      for (uint64_t& cell : table_.Bucket(span_, i)->cells) {
        const uint64_t word = table_.Read(&cell);
        if (word != 0 && !TakeLink(i, word)) {
          Memory::Store(&cell, uint64_t{0}, std::memory_order_release);
        }
      }
    }
    runs_.ForEach(ready_, [this](uint32_t position, uint64_t number) {
      TakeEntry(position, linked_[number]);
    });
    for (uint64_t i = 0; i < span_.buckets; ++i) {
      uint64_t* const passed_by = &table_.Bucket(span_, i)->passed_by;
      if (table_.Read(passed_by) != passed_by_[i]) {
        Memory::Store(passed_by, passed_by_[i], std::memory_order_release);
      }
    }
    return std::move(result_);
  }

 private:
  // Whether the cell of a bucket may stay as it is.
  bool TakeLink(uint64_t bucket, uint64_t cell) {
    const uint32_t position = PositionOf(cell);
    const uint64_t number = runs_.NumberOf(position);
    if (number >= ready_ || linked_[number]) return false;
    const uint64_t control = table_.Control(position);
    const uint32_t length = NameLengthOf(control);
    if (!IsReadable(control) || length == 0 ||
        length > layout::kMaxObjectIdBytes) {
      return false;
    }
    const uint64_t hash = table_.Hash(table_.KeyOf(position));
    const uint64_t mask = span_.buckets - 1;
    const uint64_t probes = (bucket - hash) & mask;
    if (TagOf(hash) != TagOf(cell) || probes >= layout::kMaxProbes) {
      return false;
    }
    for (uint64_t i = 0; i < probes; ++i) ++passed_by_[(hash + i) & mask];
    linked_[number] = true;
    return true;
  }

  void TakeEntry(uint32_t position, bool linked) {
    const uint64_t control = table_.Control(position);
    if (IsReadable(control)) {
      result_.last_generation = std::max(result_.last_generation,
                                         table_.FieldsOf(position).generation);
      if (linked) {
        ++result_.live;
        return;
      }
      table_.Retire(position);
      result_.retired.push_back(position);
      return;
    }
    if (StateOf(control) == layout::EntryState::kRetired) {
      result_.retired.push_back(position);
      return;
    }
    if (StateOf(control) != layout::EntryState::kFree) {
      table_.MarkFree(position);
    }
    result_.free.push_back(position);
  }

  const BasicDirectoryTable<Memory>& table_;
  const EntryRuns& runs_;
  const uint64_t ready_;
  const IndexSpan span_;
  std::vector<bool> linked_;
  std::vector<uint64_t> passed_by_;
  RecoveredEntries result_;
};

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_DIRECTORY_RECOVERY_H_
