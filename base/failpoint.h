#ifndef SHMD_BASE_FAILPOINT_H_
#define SHMD_BASE_FAILPOINT_H_

#include <atomic>
#include <string>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// Named places where a test may stop a program: docs/failpoints.md.
//
//   SHMD_FAILPOINT("store.appended");               // may end it, or sleep
//   RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("..."));  // may also fail
//
// A name is a string literal `area.step` that one place has, and that
// tests/crash/failpoints.txt lists. As long as nothing is armed a place costs
// the load of one byte and a branch that is never taken; with
// -DSHMD_NO_FAILPOINTS it costs nothing.

#ifdef SHMD_NO_FAILPOINTS
#define SHMD_FAILPOINT(name) static_cast<void>(0)
#define SHMD_FAILPOINT_STATUS(name) ::absl::OkStatus()
#else
#define SHMD_FAILPOINT(name)                                                 \
  do {                                                                       \
    if (ABSL_PREDICT_FALSE(                                                  \
            ::shmd::failpoints_are_armed.load(std::memory_order_relaxed))) { \
      ::shmd::PassFailpoint(name).IgnoreError();                             \
    }                                                                        \
  } while (false)
#define SHMD_FAILPOINT_STATUS(name)                                  \
  (ABSL_PREDICT_FALSE(                                               \
       ::shmd::failpoints_are_armed.load(std::memory_order_relaxed)) \
       ? ::shmd::PassFailpoint(name)                                 \
       : ::absl::OkStatus())
#endif

namespace shmd {

// For the macros alone.
extern std::atomic<bool> failpoints_are_armed;

// Does what the armed text asks for at `name`: returns the error of `fail`, OK
// after anything else that it survives. Thread-safe.
absl::Status PassFailpoint(absl::string_view name);

// Arms the points of `text`, in place of those armed before:
//
//   name=kill@3;other=sleep:50;third=fail:ENOSPC;fourth=abort;fifth=off
//
// `@N` is the pass that the action is for; without it, every one. `sleep` is
// in milliseconds. "@PATH" stands for the contents of a file, which is removed:
// they are for one start of a program that others start again. No such file,
// or an empty text, arms nothing. INVALID_ARGUMENT for any other text, and
// where failpoints are not compiled in.
absl::Status ArmFailpoints(absl::string_view text);

// The same with $SHMD_FAILPOINTS, once in a process; never in a program that
// has more rights than whoever started it (secure_getenv(3)).
absl::Status ArmFailpointsOfEnvironment();

}  // namespace shmd

#endif  // SHMD_BASE_FAILPOINT_H_
