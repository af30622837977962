#include "shm/sys/errno_table.h"

#include <cerrno>

#include "absl/strings/numbers.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd::sys {

absl::Status StatusOfErrno(int error_number, absl::string_view call,
                           absl::Span<const ErrnoRow> table) {
  for (const ErrnoRow& row : table) {
    if (row.error_number != error_number) continue;
    return Error(row.code, row.reason, row.message)
        .With("call", call)
        .With("errno", error_number);
  }
  if (error_number == EMFILE || error_number == ENFILE) {
    return Exhausted(reason::kDescriptorsExhausted,
                     error_number == EMFILE ? "RLIMIT_NOFILE" : "fs.file-max",
                     1, 0, "descriptors")
        .With("call", call)
        .With("errno", error_number);
  }
  return ErrnoStatus(error_number, call);
}

int ErrnoOf(const absl::Status& status) {
  const ErrorDetail detail = GetErrorDetail(status);
  const auto found = detail.metadata.find("errno");
  int error_number = 0;
  if (found == detail.metadata.end() ||
      !absl::SimpleAtoi(found->second, &error_number)) {
    return 0;
  }
  return error_number;
}

}  // namespace shmd::sys
