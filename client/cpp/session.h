#ifndef SHMD_CLIENT_CPP_SESSION_H_
#define SHMD_CLIENT_CPP_SESSION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

// Who is attached and what each holds, as plain values;
// protos/shmd/v1/session.proto says what each field means.

enum class SessionState : uint8_t { kUnspecified, kConnected, kAwaited };

// "CONNECTED", "AWAITED".
const char* SessionStateName(SessionState state);

// One attachment of a session.
struct Holding {
  std::string segment;
  uint64_t generation = 0;
  Access access = Access::kRead;
  uint64_t size_bytes = 0;
  absl::Time attach_time;
};

struct Session {
  std::string name;  // sessions/0123...
  SessionState state = SessionState::kUnspecified;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int32_t pid = 0;
  std::string command;
  absl::Time create_time;
  std::vector<Holding> holdings;  // of one session, or with a segment
  uint64_t holding_count = 0;
  uint64_t held_bytes = 0;
  uint64_t owned_segment_count = 0;
  std::string name_space;  // namespaces/default

  // The last part of `name`.
  std::string id() const { return name.substr(name.rfind('/') + 1); }
};

// One process that has a segment mapped, whether or not it knows of shmd.
struct SegmentUser {
  int32_t pid = 0;
  uint32_t uid = 0;
  std::string command;
  std::string container;
  uint64_t mapped_bytes = 0;
  bool writable = false;
  std::string session;  // empty for a program that has none
};

struct SegmentUsers {
  std::vector<SegmentUser> users;
  uint64_t hidden_processes = 0;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_SESSION_H_
