#ifndef SHMD_BASE_LOG_H_
#define SHMD_BASE_LOG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace shmd {

enum class LogLevel { kDebug, kNotice, kError };

// Writes one line to standard error: time, level, text. Control characters
// and non-ASCII bytes of `text` are escaped, so that no caller can forge a
// line; a line is cut at 1024 bytes. Thread-safe. For the daemon and the
// command line: libraries do not log above kDebug.
void Log(LogLevel level, absl::string_view text);

// Lines below `level` are dropped; kNotice unless set.
void SetLogLevel(LogLevel level);

// What Log makes of `text`.
std::string EscapeForLog(absl::string_view text);

}  // namespace shmd

#endif  // SHMD_BASE_LOG_H_
