#ifndef SHMD_TESTS_TESTING_MADE_PAGES_H_
#define SHMD_TESTS_TESTING_MADE_PAGES_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "shm/lane/session_pages.h"

namespace shmd {

// Pages of a session as the daemon makes them; for tests and measurements,
// which end where they cannot be had.
class MadePages {
 public:
  MadePages()
      : session_(Make(sizeof(layout::SessionPage))),
        answers_(Make(sizeof(layout::AnswersPage))),
        programs_answers_(
            open(("/proc/self/fd/" + std::to_string(answers_.get())).c_str(),
                 O_RDONLY | O_CLOEXEC)),
        daemon_(Open()) {}

  const SessionPages& daemon() const { return daemon_; }
  // As the next run of the daemon has them.
  SessionPages Open() const {
    return Checked(SessionPages::Open(session_.get(), answers_.get()));
  }
  MappedSessionPages Map() const {
    return Checked(
        MappedSessionPages::Map(session_.get(), programs_answers_.get()));
  }

 private:
  static UniqueFd Make(size_t size_bytes) {
    UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0 ||
        fcntl(fd.get(), F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
      std::abort();
    }
    return fd;
  }
  template <typename Pages>
  static Pages Checked(absl::StatusOr<Pages> pages) {
    if (!pages.ok()) std::abort();
    return *std::move(pages);
  }

  const UniqueFd session_;
  const UniqueFd answers_;
  const UniqueFd programs_answers_;
  const SessionPages daemon_;
};

}  // namespace shmd

#endif  // SHMD_TESTS_TESTING_MADE_PAGES_H_
