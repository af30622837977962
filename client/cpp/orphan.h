#ifndef SHMD_CLIENT_CPP_ORPHAN_H_
#define SHMD_CLIENT_CPP_ORPHAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

// An object of shared memory that nobody seems to use, as a plain value;
// protos/shmd/v1/orphan.proto says what each field means.
struct Orphan {
  std::string name;  // orphans/sysv-3
  BackendKind backend = BackendKind::kPosix;
  std::string location;
  uint64_t resident_bytes = 0;
  uint64_t size_bytes = 0;
  uint64_t page_size_bytes = 0;
  uint32_t owner = 0;
  uint32_t mode = 0;
  absl::Time last_use_time;
  int32_t creator_pid = 0;
  bool creator_alive = false;
  std::vector<std::string> evidence;
  uint64_t hidden_processes = 0;
  std::string etag;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_ORPHAN_H_
