#ifndef SHMD_SERVER_STORE_JOURNAL_FILE_H_
#define SHMD_SERVER_STORE_JOURNAL_FILE_H_

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/unique_fd.h"
#include "server/store/journal_format.h"

namespace shmd {

// The system calls by which a journal is written; tests make them fail.
struct JournalCalls {
  ssize_t (*write)(int, const void*, size_t, off_t) = &pwrite;
  int (*truncate)(int, off_t) = &ftruncate;
  int (*sync)(int) = &fdatasync;
};

// STORE_FAILED (INTERNAL): the store could not `what`, because of `why`.
Error StoreFailed(absl::string_view what, absl::string_view why);

// The same for a system call that failed with `error_number`.
Error StoreFailed(absl::string_view what, int error_number);

// "journal.7"
std::string JournalName(uint64_t number);

// Best effort: what is left is read, and passed over, at the next start.
void RemoveJournal(const std::string& folder, uint64_t number);

// One file of the journal, open for appending. Append is for one thread at a
// time; Sync may be called meanwhile.
class JournalFile {
 public:
  // Makes the file, with its header, so that it and its name survive a power
  // loss; until then it has another name, which no start looks at. Nothing is
  // left when that fails. Its first `prepared_bytes` are written with zeroes
  // where there is plenty of room: on file systems that overwrite in place,
  // what is written there later needs no new block and no new size.
  static absl::StatusOr<std::shared_ptr<JournalFile>> Create(
      const std::string& folder, uint64_t number, uint64_t prepared_bytes,
      const JournalCalls& calls);

  // Writes `bytes` at the end by one system call. When it fails, the file is
  // as it was before; unless is_torn() from then on.
  absl::Status Append(absl::string_view bytes);

  // To the disk.
  absl::Status Sync();

  uint64_t number() const { return number_; }
  uint32_t salt() const { return header_.salt; }
  uint64_t size_bytes() const { return size_bytes_; }
  // Whether a part of a group is at the end and could not be cut off. Nothing
  // may follow it.
  bool is_torn() const { return is_torn_; }

 private:
  JournalFile(const JournalCalls& calls, uint64_t number)
      : calls_(calls), number_(number) {}

  void Prepare(uint64_t bytes);
  absl::Status WriteHeader();

  const JournalCalls calls_;
  const uint64_t number_;
  JournalHeader header_;
  UniqueFd fd_;
  uint64_t size_bytes_ = 0;
  bool is_torn_ = false;
};

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_JOURNAL_FILE_H_
