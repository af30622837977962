#ifndef SHMD_CLIENT_CPP_SYNC_CALLS_H_
#define SHMD_CLIENT_CPP_SYNC_CALLS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/cpp/client.h"
#include "shm/layout/sync_layout.h"

namespace shmd {
inline namespace client {

class SyncDomain;

// A primitive that stands alone, or is to; protos/shmd/v1/sync.proto says what
// each field means.
struct SyncPrimitiveSpec {
  layout::SyncKind kind = layout::SyncKind::kMutex;
  uint32_t initial_count = 0;
  uint32_t parties = 0;
  bool automatic_reset = false;
  uint32_t value_bytes = 0;
  uint32_t mode = 0;
};

struct SyncPrimitive {
  std::string name;
  SyncPrimitiveSpec spec;
  uint32_t owner = 0;
  uint32_t group = 0;
  absl::Time create_time;
  std::string handle;  // not in lists

  // The last part of `name`.
  std::string id() const { return name.substr(name.rfind('/') + 1); }
};

// A session at a primitive of a segment.
struct LockUse {
  uint64_t offset_bytes = 0;
  layout::SyncKind kind = layout::SyncKind::kNone;
  layout::SyncState state = layout::SyncState::kFree;
  bool shared = false;
  std::string session;
  pid_t pid = 0;
  uint32_t thread = 0;
  absl::Time since;
};

// "MUTEX" and so on; kNone for other words.
const char* SyncKindName(layout::SyncKind kind);
layout::SyncKind SyncKindNamed(absl::string_view name);

// The RPCs of sync.proto by a client, whose errors are those listed there.
// Primitives are named in full, `namespaces/default/syncPrimitives/door`, or by
// the last part alone; segments as everywhere. Thread-safe. Borrows the client.
class SyncCalls {
 public:
  explicit SyncCalls(Client* client) : client_(client) {}

  // One that is there already, of the same kind and sizes, is as good when
  // `allow_existing`: then all programs may begin by this, in any order.
  absl::StatusOr<SyncPrimitive> Create(absl::string_view id,
                                       const SyncPrimitiveSpec& spec,
                                       bool allow_existing = false);
  absl::StatusOr<SyncPrimitive> Get(absl::string_view name);
  absl::StatusOr<std::vector<SyncPrimitive>> List();
  absl::Status Delete(absl::string_view name);

  // `name` is a segment's, or, in full, a primitive's.
  absl::StatusOr<std::vector<LockUse>> ListLocks(absl::string_view name);
  absl::Status BreakLock(absl::string_view name, uint64_t offset_bytes);

  // For SyncDomain::Open: the one of the client's session, opened if need be.
  absl::StatusOr<std::shared_ptr<SyncDomain>> Domain();

 private:
  std::string FullName(absl::string_view name) const;

  Client* const client_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_SYNC_CALLS_H_
