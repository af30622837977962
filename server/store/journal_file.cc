#include "server/store/journal_file.h"

#include <fcntl.h>
#include <sodium.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "shm/limits.h"

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

namespace {

absl::Status SyncFolder(const std::string& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fsync(fd.get()) != 0) return StoreFailed("sync its folder", errno);
  return absl::OkStatus();
}

// Whether `bytes` are little of what the file system of the folder has. What is
// prepared is for speed alone: whoever writes now needs the last room more.
bool HasPlentyOfRoom(const std::string& folder, uint64_t bytes) {
  const absl::StatusOr<uint64_t> available =
      ReadFileSystemAvailableBytes(folder);
  return available.ok() && *available / 8 >= bytes;
}

}  // namespace

absl::StatusOr<std::shared_ptr<JournalFile>> JournalFile::Create(
    const std::string& folder, uint64_t number, uint64_t prepared_bytes,
    const JournalCalls& calls) {
  std::shared_ptr<JournalFile> file(new JournalFile(calls, number));
  const std::string path = absl::StrCat(folder, "/", JournalName(number));
  const std::string unfinished = path + ".new";
  file->fd_.Reset(
      open(unfinished.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file->fd_.valid()) return StoreFailed("make a journal", errno);
  SHMD_FAILPOINT("journal.made");
  if (HasPlentyOfRoom(folder, prepared_bytes)) file->Prepare(prepared_bytes);
  SHMD_FAILPOINT("journal.prepared");
  absl::Status status = file->WriteHeader();
  if (status.ok() && rename(unfinished.c_str(), path.c_str()) != 0) {
    status = StoreFailed("name a journal", errno);
  }
  SHMD_FAILPOINT("journal.begun");
  if (status.ok()) status = SyncFolder(folder);
  if (!status.ok()) {
    unlink(unfinished.c_str());
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
    static_cast<void>(calls_.truncate(fd_.get(), 0));
    return;
  }
}

absl::Status JournalFile::WriteHeader() {
  header_.boot_id = ReadBootId();
  randombytes_buf(&header_.salt, sizeof(header_.salt));
  RETURN_IF_ERROR(Append(EncodeJournalHeader(header_)));
  return Sync();
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
