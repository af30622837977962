#ifndef SHMD_SERVER_SESSION_SESSION_H_
#define SHMD_SERVER_SESSION_SESSION_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/boot_id.h"
#include "server/registry/segment_entry.h"
#include "server/session/process.h"
#include "shm/types.h"

namespace shmd {

using SessionId = Uid;
using ResumeToken = std::array<uint8_t, 16>;

// What makes a session the same across restarts of the daemon: the part of it
// that the store keeps. A plain value.
struct SessionIdentity {
  SessionId id = {};
  ResumeToken token = {};
  uid_t uid = 0;
  gid_t gid = 0;
  Process process;
  BootId boot_id = {};
  std::string name_space;  // empty while it has not entered any
  absl::Time create_time;
};

// One attachment of a session.
struct Holding {
  uint64_t attachment_id = 0;
  EntryPtr entry;
  SegmentPtr segment;  // as it was when it was attached
  Access access = Access::kRead;
  absl::Time attach_time;
};

// A session as it was at one moment.
struct SessionSnapshot {
  SessionIdentity identity;
  bool awaited = false;
  std::vector<Holding> holdings;  // by attachment_id; only where asked for
  size_t holding_count = 0;
  uint64_t held_bytes = 0;
  size_t owned_count = 0;
};

// "sessions/{32 hexadecimal digits}", and back: NAME_INVALID naming `field`.
std::string SessionName(const SessionId& id);
absl::StatusOr<SessionId> ParseSessionName(absl::string_view field,
                                           absl::string_view name);

// SESSION_NOT_FOUND (NOT_FOUND).
absl::Status SessionNotFound(const SessionId& id);

}  // namespace shmd

#endif  // SHMD_SERVER_SESSION_SESSION_H_
