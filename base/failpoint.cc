#include "base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

enum class Deed { kOff, kKill, kAbort, kSleep, kFail };

struct Action {
  Deed deed = Deed::kOff;
  uint64_t at_pass = 0;  // 0: at every one
  absl::Duration sleep;
  int error_number = 0;
  uint64_t passes = 0;
};

using Actions = std::map<std::string, Action, std::less<>>;

struct Armed {
  absl::Mutex mutex;
  Actions actions ABSL_GUARDED_BY(mutex);
};

Armed& TheArmed() {
  static auto* const armed = new Armed;  // threads may outlive main()
  return *armed;
}

absl::Status Malformed(absl::string_view text) {
  return InvalidField("failpoints", reason::kFieldInvalid,
                      absl::StrCat("`", text, "` is none"));
}

int ErrorNumber(absl::string_view name) {
  static constexpr std::pair<absl::string_view, int> kNames[] = {
      {"EACCES", EACCES}, {"EAGAIN", EAGAIN}, {"EINTR", EINTR},
      {"EINVAL", EINVAL}, {"EIO", EIO},       {"EMFILE", EMFILE},
      {"ENFILE", ENFILE}, {"ENOENT", ENOENT}, {"ENOMEM", ENOMEM},
      {"ENOSPC", ENOSPC}, {"EPERM", EPERM},   {"EPIPE", EPIPE},
  };
  for (const auto& [known, number] : kNames) {
    if (known == name) return number;
  }
  return 0;
}

bool ParseDeed(absl::string_view text, Action* action) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  // Nothing at all, where there is no `=`, has no parts.
  if (parts.empty() || parts.size() > 2) return false;
  const absl::string_view deed = parts[0];
  if (deed == "sleep" || deed == "fail") {
    if (parts.size() != 2) return false;
    int64_t milliseconds = 0;
    if (deed == "fail") {
      action->deed = Deed::kFail;
      action->error_number = ErrorNumber(parts[1]);
      return action->error_number != 0;
    }
    action->deed = Deed::kSleep;
    if (!absl::SimpleAtoi(parts[1], &milliseconds)) return false;
    action->sleep = absl::Milliseconds(milliseconds);
    return milliseconds >= 0;
  }
  if (parts.size() != 1) return false;
  if (deed == "kill") action->deed = Deed::kKill;
  if (deed == "abort") action->deed = Deed::kAbort;
  return deed == "kill" || deed == "abort" || deed == "off";
}

absl::Status ParseOne(absl::string_view text, Actions* actions) {
  const std::pair<absl::string_view, absl::string_view> sides =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  const std::pair<absl::string_view, absl::string_view> deed_and_pass =
      absl::StrSplit(sides.second, absl::MaxSplits('@', 1));
  Action action;
  const bool has_pass = absl::StrContains(sides.second, '@');
  if (sides.first.empty() || !ParseDeed(deed_and_pass.first, &action) ||
      (has_pass && (!absl::SimpleAtoi(deed_and_pass.second, &action.at_pass) ||
                    action.at_pass == 0))) {
    return Malformed(text);
  }
  (*actions)[std::string(sides.first)] = action;
  return absl::OkStatus();
}

// The contents of a file that is for one start.
std::string TakeFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  unlink(path.c_str());
  return std::string(absl::StripAsciiWhitespace(text.str()));
}

[[noreturn]] void KillThisProcess() {
  kill(getpid(), SIGKILL);
  for (;;) pause();  // until it has arrived
}

}  // namespace

std::atomic<bool> failpoints_are_armed{false};

absl::Status PassFailpoint(absl::string_view name) {
  Armed& armed = TheArmed();
  Action action;
  {
    absl::MutexLock lock(&armed.mutex);
    const auto found = armed.actions.find(name);
    if (found == armed.actions.end()) return absl::OkStatus();
    ++found->second.passes;
    action = found->second;
  }
  if (action.at_pass != 0 && action.passes != action.at_pass) {
    return absl::OkStatus();
  }
  switch (action.deed) {
    case Deed::kOff:
      break;
    case Deed::kKill:
      KillThisProcess();
    case Deed::kAbort:
      std::abort();
    case Deed::kSleep:
      absl::SleepFor(action.sleep);
      break;
    case Deed::kFail:
      return ErrnoStatus(action.error_number, name);
  }
  return absl::OkStatus();
}

absl::Status ArmFailpoints(absl::string_view text) {
  std::string contents;
  if (absl::ConsumePrefix(&text, "@")) {
    contents = TakeFile(std::string(text));
    text = contents;
  }
  Actions actions;
  for (const absl::string_view one :
       absl::StrSplit(text, ';', absl::SkipEmpty())) {
    RETURN_IF_ERROR(ParseOne(one, &actions));
  }
#ifdef SHMD_NO_FAILPOINTS
  if (!actions.empty()) return Malformed("in this build");
#endif
  const bool any = !actions.empty();
  Armed& armed = TheArmed();
  {
    absl::MutexLock lock(&armed.mutex);
    armed.actions = std::move(actions);
  }
  failpoints_are_armed = any;
  return absl::OkStatus();
}

absl::Status ArmFailpointsOfEnvironment() {
  static const absl::Status status = [] {
    const char* const text = secure_getenv("SHMD_FAILPOINTS");
    return text == nullptr ? absl::OkStatus() : ArmFailpoints(text);
  }();
  return status;
}

}  // namespace shmd
