#include "server/store/journal_file.h"

#include <fcntl.h>
#include <sodium.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"

namespace shmd {

Error StoreFailed(absl::string_view what, absl::string_view why) {
  return Error(absl::StatusCode::kInternal, reason::kStoreFailed,
               absl::StrCat("the store could not ", what, ": ", why));
}

Error StoreFailed(absl::string_view what, int error_number) {
  return StoreFailed(what, std::generic_category().message(error_number));
}

std::string JournalName(uint64_t number) {
  return absl::StrCat("journal.", number);
}

void RemoveJournal(const std::string& folder, uint64_t number) {
  unlink(absl::StrCat(folder, "/", JournalName(number)).c_str());
}

absl::StatusOr<std::shared_ptr<JournalFile>> JournalFile::Create(
    const std::string& folder, uint64_t number, uint64_t prepared_bytes,
    const JournalCalls& calls) {
  std::shared_ptr<JournalFile> file(new JournalFile(calls, number));
  const std::string path = absl::StrCat(folder, "/", JournalName(number));
  file->fd_.Reset(
      open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file->fd_.valid()) return StoreFailed("make a journal", errno);
  SHMD_FAILPOINT("journal.made");
  file->Prepare(prepared_bytes);
  SHMD_FAILPOINT("journal.prepared");
  const absl::Status status = file->WriteHeader(folder);
  SHMD_FAILPOINT("journal.begun");
  if (!status.ok()) {
    RemoveJournal(folder, number);
    return status;
  }
  return file;
}

void JournalFile::Prepare(uint64_t bytes) {
  // By the page: what is written at once becomes large folios, and ext4 goes
  // through all blocks of one for each group that is written into it.
  constexpr uint64_t kPageBytes = 4096;
  const std::string zeroes(kPageBytes, '\0');
  for (uint64_t at = 0; at + kPageBytes <= bytes; at += kPageBytes) {
    const ssize_t written = calls_.write(fd_.get(), zeroes.data(), kPageBytes,
                                         static_cast<off_t>(at));
    if (written == static_cast<ssize_t>(kPageBytes)) continue;
    // It is for speed alone, and groups need the room.
    static_cast<void>(calls_.truncate(fd_.get(), 0));
    return;
  }
}

absl::Status JournalFile::WriteHeader(const std::string& folder) {
  header_.boot_id = ReadBootId();
  randombytes_buf(&header_.salt, sizeof(header_.salt));
  RETURN_IF_ERROR(Append(EncodeJournalHeader(header_)));
  RETURN_IF_ERROR(Sync());
  const UniqueFd folder_fd(
      open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fsync(folder_fd.get()) != 0) return StoreFailed("sync its folder", errno);
  return absl::OkStatus();
}

absl::Status JournalFile::Append(absl::string_view bytes) {
  const ssize_t written = calls_.write(fd_.get(), bytes.data(), bytes.size(),
                                       static_cast<off_t>(size_bytes_));
  if (written == static_cast<ssize_t>(bytes.size())) {
    size_bytes_ += bytes.size();
    return absl::OkStatus();
  }
  // A short write is the last that fits; its errno would come with the next.
  const int error_number = written < 0 ? errno : ENOSPC;
  if (calls_.truncate(fd_.get(), static_cast<off_t>(size_bytes_)) != 0) {
    is_torn_ = true;
  }
  return StoreFailed("write its journal", error_number);
}

absl::Status JournalFile::Sync() {
  if (calls_.sync(fd_.get()) != 0)
    return StoreFailed("sync its journal", errno);
  return absl::OkStatus();
}

}  // namespace shmd
