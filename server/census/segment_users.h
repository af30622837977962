#ifndef SHMD_SERVER_CENSUS_SEGMENT_USERS_H_
#define SHMD_SERVER_CENSUS_SEGMENT_USERS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/census/object_id.h"

namespace shmd {

// One process that has an object mapped.
struct ObjectUser {
  pid_t pid = 0;
  uid_t uid = 0;          // the real one
  std::string command;    // /proc/PID/comm
  std::string container;  // the last part of its control group's path
  uint64_t mapped_bytes = 0;
  bool writable = false;  // one of its mappings can be written
};

struct ObjectUsers {
  std::vector<ObjectUser> users;  // by pid
  // Processes that this one may not look into: one of them may be a user too.
  uint64_t hidden_processes = 0;
};

// Looks through /proc for who has `object` mapped, whether or not it knows of
// shmd. Thread-safe. KERNEL_REFUSED when there is no /proc.
absl::StatusOr<ObjectUsers> FindUsers(const ObjectId& object);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_SEGMENT_USERS_H_
