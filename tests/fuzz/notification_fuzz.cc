// What anybody may send to the keeper, and what the daemon finds in its
// environment.

#include <algorithm>
#include <string>
#include <vector>

#include "server/keeper/notification.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

void TryDatagram(absl::string_view text) {
  const absl::StatusOr<Notification> parsed = ParseNotification(text);
  if (!parsed.ok()) return;
  if (!parsed->fd_name.empty()) {
    const std::string store = StoreNotification(parsed->fd_name);
    const absl::StatusOr<Notification> again = ParseNotification(store);
    Expect(again.ok() && again->store && again->fd_name == parsed->fd_name);
  }
  const std::string status = StatusNotification(parsed->status);
  Expect(status.size() <= kMaxNotificationBytes);
  Expect(ParseNotification(status).ok());
}

void TryNames(absl::string_view text) {
  const auto colons = std::count(text.begin(), text.end(), ':');
  const auto names = SplitFdNames(text, static_cast<size_t>(colons) + 1);
  if (!names.ok()) return;
  const std::vector<absl::string_view> views(names->begin(), names->end());
  Expect(JoinFdNames(views) == text);
}

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  if (input.TakeByte() % 2 == 0) {
    shmd::TryDatagram(input.TakeRest());
  } else {
    shmd::TryNames(input.TakeRest());
  }
  return 0;
}
