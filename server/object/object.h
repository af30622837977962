#ifndef SHMD_SERVER_OBJECT_OBJECT_H_
#define SHMD_SERVER_OBJECT_OBJECT_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/access/caller.h"
#include "server/registry/segment_entry.h"
#include "server/session/session.h"
#include "shm/directory/name_key.h"

namespace shmd {

inline constexpr uint64_t kPayloadAlignment = 8;

// Payload and metadata; of checked sizes.
constexpr uint64_t ExtentBytes(uint64_t size_bytes, uint32_t metadata_bytes) {
  if (metadata_bytes == 0) return size_bytes;
  return (size_bytes + kPayloadAlignment - 1) / kPayloadAlignment *
             kPayloadAlignment +
         metadata_bytes;
}

// Who asks for something: a caller by RPC, or a session by its ring.
struct ObjectUser {
  uid_t uid = static_cast<uid_t>(-1);
  bool is_administrator = false;
  std::optional<SessionId> session;  // by its ring

  static ObjectUser Of(const Caller& caller) {
    return {caller.uid, caller.is_administrator, std::nullopt};
  }
};

// What to publish; object.proto says what each means.
struct PublishCommand {
  NameKey name;
  uint32_t arena = 0;
  uint32_t metadata_bytes = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  absl::Duration ttl = absl::InfiniteDuration();
  uint8_t priority = 0;
  bool replace_existing = false;
  bool strict = false;
};

// A session asks for room by its ring, to be answered by AnswerRoom.
struct RoomAsk {
  SessionId session = {};
  uint64_t cookie = 0;
  uint64_t size_bytes = 0;
  absl::Duration wait;  // until something can go
};

// An object as it was at one moment.
struct ObjectView {
  NameKey name;
  uint32_t position = 0;  // in the directory
  uint64_t generation = 0;
  uint32_t arena = 0;
  uint32_t metadata_bytes = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  uid_t owner = 0;
  uint8_t priority = 0;
  bool is_strict = false;
  absl::Time create_time;
  std::optional<absl::Time> expire_time;
  bool is_spilled = false;
  std::optional<absl::Time> lease_expire_time;
  SegmentView segment;  // its arena
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_OBJECT_H_
