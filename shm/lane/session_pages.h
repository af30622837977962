#ifndef SHMD_SHM_LANE_SESSION_PAGES_H_
#define SHMD_SHM_LANE_SESSION_PAGES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/layout/session_layout.h"
#include "shm/sys/memory.h"

namespace shmd {

// The two pages of a session are memfds of the sizes of their layouts, sealed
// against a change of size and against further seals.

// The daemon's side: the program's page mapped for reading only. Move-only;
// the accessors are thread-safe.
class SessionPages {
 public:
  // Maps the pages, the answers for writing, and both need to be open for
  // that. New ones are made ready; in those of an earlier run of the daemon
  // the program may have written anything to its own since.
  // OBJECT_UNSUITABLE for what are no such pages.
  static absl::StatusOr<SessionPages> Open(int session_fd, int answers_fd);

  const layout::SessionPage* session() const;
  layout::AnswersPage* answers() const;

  // Wakes the program where it sleeps in AnswerConsumer::Wait.
  void WakeProgram() const;

 private:
  sys::ScopedMmap session_;
  sys::ScopedMmap answers_;
};

// The program's side: its own page mapped for writing, the answers for
// reading. Move-only; the accessors are thread-safe.
class MappedSessionPages {
 public:
  // Maps what the daemon has sent. OBJECT_UNSUITABLE when a page has another
  // size, could change it, or is of a version that this program does not know.
  static absl::StatusOr<MappedSessionPages> Map(int session_fd, int answers_fd);

  layout::SessionPage* session() const;
  const layout::AnswersPage* answers() const;

 private:
  sys::ScopedMmap session_;
  sys::ScopedMmap answers_;
};

}  // namespace shmd

#endif  // SHMD_SHM_LANE_SESSION_PAGES_H_
