#include "base/log.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace shmd {
namespace {

constexpr size_t kMaxLineBytes = 1024;

std::atomic<LogLevel> log_level{LogLevel::kNotice};

const char* Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kNotice:
      return "notice";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

}  // namespace

std::string EscapeForLog(absl::string_view text) {
  std::string escaped = absl::CEscape(text.substr(0, kMaxLineBytes));
  if (escaped.size() > kMaxLineBytes) escaped.resize(kMaxLineBytes);
  return escaped;
}

void Log(LogLevel level, absl::string_view text) {
  if (level < log_level.load(std::memory_order_relaxed)) return;
  const std::string line = absl::StrCat(
      absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone()),
      " ", Name(level), " ", EscapeForLog(text), "\n");
  // One write, so that lines of several threads do not mix. There is nobody to
  // tell when it fails.
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

void SetLogLevel(LogLevel level) {
  log_level.store(level, std::memory_order_relaxed);
}

}  // namespace shmd
