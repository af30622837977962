#include "shm/lane/session_pages.h"

#include <fcntl.h>

#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/lane/host_sleep.h"
#include "shm/layout/memory_word.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"

namespace shmd {
namespace {

using layout::AnswersPage;
using layout::HostMemory;
using layout::SessionPage;

// No page may go away below a mapping, and no seal be added that would stop
// its writer. F_SEAL_EXEC is there from the start, where the kernel has it.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error Unsuitable(absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
               message);
}

absl::StatusOr<sys::ScopedMmap> MapPage(int fd, uint64_t size_bytes,
                                        bool writable) {
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd));
  if (!S_ISREG(found.st_mode) ||
      static_cast<uint64_t>(found.st_size) != size_bytes) {
    return Unsuitable("the descriptor is not that of a session's page")
        .With("size_bytes", size_bytes)
        .With("found_bytes", found.st_size);
  }
  const absl::StatusOr<int> seals = sys::GetSeals(fd);
  if (!seals.ok() || (*seals & kSeals) != kSeals) {
    return Unsuitable("the size of a session's page could change");
  }
  sys::MmapRequest request;
  request.fd = fd;
  request.length_bytes = size_bytes;
  request.writable = writable;
  return sys::ScopedMmap::Map(request);
}

// The version is written last and read first: 0 means not ready.
template <typename Header>
void WriteVersion(Header* header, uint64_t magic) {
  HostMemory::Store(&header->magic, magic, std::memory_order_relaxed);
  HostMemory::Store(&header->version, layout::kSessionVersion,
                    std::memory_order_release);
}

template <typename Header>
absl::Status CheckVersion(const Header* header, uint64_t magic) {
  const uint32_t version =
      HostMemory::Load(&header->version, std::memory_order_acquire);
  const uint64_t found =
      HostMemory::Load(&header->magic, std::memory_order_relaxed);
  if (version == layout::kSessionVersion && found == magic) {
    return absl::OkStatus();
  }
  return Unsuitable("the session's page is of an unknown version")
      .With("version", layout::kSessionVersion)
      .With("found_version", version);
}

absl::Status CheckAnswers(const AnswersPage* answers) {
  RETURN_IF_ERROR(CheckVersion(&answers->header, layout::kAnswersMagic));
  const uint64_t session_bytes = HostMemory::Load(
      &answers->header.session_bytes, std::memory_order_relaxed);
  if (session_bytes == sizeof(SessionPage)) return absl::OkStatus();
  return Unsuitable("the session's pages do not belong together");
}

// The only time that the daemon writes to the program's page: nobody else has
// it yet. The version of the answers comes last.
absl::Status MakeReady(int session_fd, AnswersPage* answers) {
  {
    ASSIGN_OR_RETURN(
        const sys::ScopedMmap first,
        MapPage(session_fd, sizeof(SessionPage), /*writable=*/true));
    WriteVersion(&static_cast<SessionPage*>(first.data())->header,
                 layout::kSessionMagic);
  }
  HostMemory::Store(&answers->header.session_bytes,
                    uint64_t{sizeof(SessionPage)}, std::memory_order_relaxed);
  WriteVersion(&answers->header, layout::kAnswersMagic);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SessionPages> SessionPages::Open(int session_fd,
                                                int answers_fd) {
  SessionPages pages;
  ASSIGN_OR_RETURN(pages.session_, MapPage(session_fd, sizeof(SessionPage),
                                           /*writable=*/false));
  ASSIGN_OR_RETURN(pages.answers_, MapPage(answers_fd, sizeof(AnswersPage),
                                           /*writable=*/true));
  if (HostMemory::Load(&pages.answers()->header.version,
                       std::memory_order_acquire) == 0) {
    RETURN_IF_ERROR(MakeReady(session_fd, pages.answers()));
  }
  RETURN_IF_ERROR(CheckAnswers(pages.answers()));
  return pages;
}

// SAFETY: Map has checked that the mappings are as large as the layouts, and
// that they stay so.
const SessionPage* SessionPages::session() const {
  return static_cast<const SessionPage*>(session_.data());
}

AnswersPage* SessionPages::answers() const {
  return static_cast<AnswersPage*>(answers_.data());
}

void SessionPages::WakeProgram() const {
  HostSleep::Wake(&answers()->header.produced);
}

absl::StatusOr<MappedSessionPages> MappedSessionPages::Map(int session_fd,
                                                           int answers_fd) {
  MappedSessionPages pages;
  ASSIGN_OR_RETURN(pages.session_, MapPage(session_fd, sizeof(SessionPage),
                                           /*writable=*/true));
  ASSIGN_OR_RETURN(pages.answers_, MapPage(answers_fd, sizeof(AnswersPage),
                                           /*writable=*/false));
  RETURN_IF_ERROR(
      CheckVersion(&pages.session()->header, layout::kSessionMagic));
  RETURN_IF_ERROR(CheckAnswers(pages.answers()));
  return pages;
}

// SAFETY: as above.
SessionPage* MappedSessionPages::session() const {
  return static_cast<SessionPage*>(session_.data());
}

const AnswersPage* MappedSessionPages::answers() const {
  return static_cast<const AnswersPage*>(answers_.data());
}

}  // namespace shmd
