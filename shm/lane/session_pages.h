#ifndef SHMD_SHM_LANE_SESSION_PAGES_H_
#define SHMD_SHM_LANE_SESSION_PAGES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/layout/session_layout.h"
#include "shm/sys/memory.h"

namespace shmd {

// What the daemon keeps of a session's pages over its restart, and what a
// program gets of them: then `answers` is open for reading only.
struct SessionDescriptors {
  UniqueFd session;   // memfd of layout::SessionPage
  UniqueFd answers;   // memfd of layout::AnswersPage
  UniqueFd doorbell;  // eventfd; the program writes
};

// The daemon's side: owns the pages' descriptors and mappings, the program's
// page mapped for reading only. Move-only; the accessors are thread-safe.
class SessionPages {
 public:
  // New pages, sealed against a change of size. Taken for what is touched.
  static absl::StatusOr<SessionPages> Create();

  // Pages that an earlier run has made and kept. The program may have written
  // anything to its own since. OBJECT_UNSUITABLE for what are no such pages.
  static absl::StatusOr<SessionPages> TakeUp(SessionDescriptors kept);

  const layout::SessionPage* session() const;
  layout::AnswersPage* answers() const;

  // For the keeper, and for the program, which must get ProgramAnswers in
  // place of `answers`.
  const SessionDescriptors& descriptors() const { return descriptors_; }
  absl::StatusOr<UniqueFd> ProgramAnswers() const;

  // To be put into an epoll set with EPOLLET and never read: shm/sys/eventfd.h.
  int doorbell() const { return descriptors_.doorbell.get(); }

  // Wakes the program where it sleeps in AnswerConsumer::Wait.
  void WakeProgram() const;

 private:
  static absl::StatusOr<SessionPages> Map(SessionDescriptors descriptors);

  SessionDescriptors descriptors_;
  sys::ScopedMmap session_;
  sys::ScopedMmap answers_;
};

// The program's side: its own page mapped for writing, the answers for
// reading. Move-only; the accessors are thread-safe.
class MappedSessionPages {
 public:
  // Maps what the daemon has sent; of the descriptors only the doorbell is
  // kept. OBJECT_UNSUITABLE when a page has another size, could change it, or
  // is of a version that this program does not know.
  static absl::StatusOr<MappedSessionPages> Map(SessionDescriptors received);

  layout::SessionPage* session() const;
  const layout::AnswersPage* answers() const;

  // Wakes the daemon's thread.
  absl::Status RingDoorbell() const;

 private:
  UniqueFd doorbell_;
  sys::ScopedMmap session_;
  sys::ScopedMmap answers_;
};

}  // namespace shmd

#endif  // SHMD_SHM_LANE_SESSION_PAGES_H_
