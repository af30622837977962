#ifndef SHMD_SHM_SYS_ERRNO_TABLE_H_
#define SHMD_SHM_SYS_ERRNO_TABLE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace shmd::sys {

// What one errno of one system call means here. `message` is a sentence
// without paths, names or pids.
struct ErrnoRow {
  int error_number;
  absl::StatusCode code;
  const char* reason;
  const char* message;
};

// The status of `call`'s failure by `table`. What no row foresees is
// ErrnoStatus (base/error.h), except a lack of descriptors, which means the
// same in every call. Carries metadata `call` and `errno`.
absl::Status StatusOfErrno(int error_number, absl::string_view call,
                           absl::Span<const ErrnoRow> table);

// The errno that `status` was made from; 0 when there was none.
int ErrnoOf(const absl::Status& status);

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_ERRNO_TABLE_H_
