#ifndef SHMD_TESTS_CRASH_ACTOR_H_
#define SHMD_TESTS_CRASH_ACTOR_H_

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/failpoint.h"

// What programs have in common that are killed at named points.

namespace shmd {

inline void Check(const absl::Status& status, absl::string_view what) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "%s: %s\n", what, status.ToString());
  std::_Exit(1);
}

template <typename T>
T Check(absl::StatusOr<T> value, absl::string_view what) {
  Check(value.status(), what);
  return *std::move(value);
}

// At once, so that it is known also of a program that dies next.
inline void Tell(const std::string& line) {
  const std::string text = line + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) < 0) std::_Exit(1);
}

// A named point of this program, which is killed there like at one of the
// library.
inline void Pass(absl::string_view point) {
  if (failpoints_are_armed) PassFailpoint(point).IgnoreError();
}

// For who is killed from outside.
inline bool IsForEver() { return std::getenv("ACTOR_FOR_EVER") != nullptr; }

}  // namespace shmd

#endif  // SHMD_TESTS_CRASH_ACTOR_H_
