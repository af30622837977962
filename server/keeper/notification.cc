#include "server/keeper/notification.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

constexpr absl::string_view kStatusKey = "STATUS=";

Error Invalid(absl::string_view message) {
  return InvalidField("notification", reason::kRequestInvalid, message);
}

void ReadLine(absl::string_view line, Notification* notification) {
  const size_t equals = line.find('=');
  if (equals == absl::string_view::npos) return;
  const absl::string_view key = line.substr(0, equals);
  const absl::string_view value = line.substr(equals + 1);
  const bool one = value == "1";
  if (key == "READY") {
    notification->ready |= one;
  } else if (key == "STOPPING") {
    notification->stopping |= one;
  } else if (key == "FDSTORE") {
    notification->store |= one;
  } else if (key == "FDSTOREREMOVE") {
    notification->remove |= one;
  } else if (key == "BARRIER") {
    notification->barrier |= one;
  } else if (key == "STATUS") {
    notification->status = value;
  } else if (key == "FDNAME" && IsFdName(value)) {
    notification->fd_name = value;
  }
}

}  // namespace

bool IsFdName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxFdNameBytes) return false;
  for (const char c : name) {
    if (c < ' ' || c > '~' || c == ':') return false;
  }
  return true;
}

absl::StatusOr<Notification> ParseNotification(absl::string_view text) {
  if (text.size() > kMaxNotificationBytes) return Invalid("it is too long");
  if (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  if (text.empty()) return Invalid("it is empty");
  if (text.find('\0') != absl::string_view::npos) return Invalid("has a NUL");
  Notification notification;
  size_t lines = 0;
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    ++lines;
    ReadLine(line, &notification);
  }
  if (notification.barrier && lines > 1) {
    return Invalid("BARRIER=1 stands alone");
  }
  return notification;
}

std::string StoreNotification(absl::string_view name) {
  return absl::StrCat("FDSTORE=1\nFDPOLL=0\nFDNAME=", name);
}

std::string RemoveNotification(absl::string_view name) {
  return absl::StrCat("FDSTOREREMOVE=1\nFDNAME=", name);
}

std::string StatusNotification(absl::string_view status) {
  const size_t end = status.find_first_of(absl::string_view("\n\0", 2));
  return absl::StrCat(kStatusKey,
                      Excerpt(status.substr(0, end),
                              kMaxNotificationBytes - kStatusKey.size()));
}

std::string JoinFdNames(absl::Span<const absl::string_view> names) {
  return absl::StrJoin(names, ":");
}

absl::StatusOr<std::vector<std::string>> SplitFdNames(absl::string_view text,
                                                      size_t count) {
  std::vector<std::string> names = absl::StrSplit(text, ':');
  if (names.size() != count) {
    return Invalid(absl::StrCat("LISTEN_FDNAMES has ", names.size(),
                                " names for ", count, " descriptors"));
  }
  for (const std::string& name : names) {
    if (!name.empty() && !IsFdName(name)) {
      return Invalid("LISTEN_FDNAMES has an invalid name");
    }
  }
  return names;
}

}  // namespace shmd
