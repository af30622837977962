#ifndef SHMD_SERVER_KEEPER_NOTIFICATION_H_
#define SHMD_SERVER_KEEPER_NOTIFICATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace shmd {

// The text of systemd's notification protocol (sd_notify(3),
// sd_pid_notify_with_fds(3), sd_listen_fds(3)): lines of KEY=VALUE in one
// datagram. Pure functions; thread-safe.

// As systemd's own: NOTIFY_BUFFER_MAX, FDNAME_MAX, and the kernel's SCM_MAX_FD.
inline constexpr size_t kMaxNotificationBytes = 4096;
inline constexpr size_t kMaxFdNameBytes = 255;
inline constexpr size_t kMaxPassengers = 253;

// What descriptors without a name of their own are kept as, as by systemd.
inline constexpr absl::string_view kUnnamedFd = "stored";

// execve(2) takes no string beyond 128 KiB (MAX_ARG_STRLEN), and all names are
// one string of the environment: so many bytes has $LISTEN_FDNAMES at most.
inline constexpr size_t kMaxFdNamesBytes = 131072 - sizeof("LISTEN_FDNAMES=");

// What a datagram asks for. The views are into the text that was parsed.
struct Notification {
  bool ready = false;
  bool stopping = false;
  bool store = false;         // FDSTORE=1
  bool remove = false;        // FDSTOREREMOVE=1
  bool barrier = false;       // BARRIER=1, which stands alone
  absl::string_view fd_name;  // empty: none, or not a valid one
  absl::string_view status;
};

// Whether systemd takes `name` for descriptors: 1 to 255 printable ASCII
// characters, no colon.
bool IsFdName(absl::string_view name);

// Lines that we do not know (MAINPID=, FDPOLL= and the like) and lines without
// `=` mean nothing. INVALID_ARGUMENT for a text that is empty or too long, has
// a NUL other than at its end, or has BARRIER=1 beside something else.
absl::StatusOr<Notification> ParseNotification(absl::string_view text);

// The texts of messages. `name` is a valid one. FDPOLL=0, because nothing is
// ever to be read from what we store.
std::string StoreNotification(absl::string_view name);
std::string RemoveNotification(absl::string_view name);
// Only the first line of `status`, cut where the message would be too long.
std::string StatusNotification(absl::string_view status);

// $LISTEN_FDNAMES: names, separated by colons.
std::string JoinFdNames(absl::Span<const absl::string_view> names);

// The reverse. INVALID_ARGUMENT unless there are `count` names and each is
// valid or empty.
absl::StatusOr<std::vector<std::string>> SplitFdNames(absl::string_view text,
                                                      size_t count);

}  // namespace shmd

#endif  // SHMD_SERVER_KEEPER_NOTIFICATION_H_
