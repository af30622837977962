#ifndef SHMD_BASE_STATUS_MACROS_H_
#define SHMD_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The two macros that later versions of Abseil bring under the same names.

// Returns from the enclosing function when `expression`, an absl::Status, is
// not OK.
#define RETURN_IF_ERROR(expression)                 \
  do {                                              \
    absl::Status status_macro_value = (expression); \
    if (!status_macro_value.ok()) {                 \
      return status_macro_value;                    \
    }                                               \
  } while (false)

// Returns the status of `expression`, an absl::StatusOr, when it is not OK;
// assigns its value to `left`, which may be a declaration, otherwise.
#define ASSIGN_OR_RETURN(left, expression) \
  SHMD_ASSIGN_OR_RETURN_(SHMD_CONCAT_(status_or_, __LINE__), left, expression)

#define SHMD_CONCAT_INNER_(a, b) a##b
#define SHMD_CONCAT_(a, b) SHMD_CONCAT_INNER_(a, b)
#define SHMD_ASSIGN_OR_RETURN_(value, left, expression) \
  auto value = (expression);                            \
  if (!value.ok()) return std::move(value).status();    \
  left = *std::move(value)

#endif  // SHMD_BASE_STATUS_MACROS_H_
