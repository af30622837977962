#ifndef SHMD_SERVER_REGISTRY_REQUEST_LOG_H_
#define SHMD_SERVER_REGISTRY_REQUEST_LOG_H_

#include <sys/types.h>

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "shm/types.h"

namespace shmd {

// Which create a request id stood for. Keeps the last `capacity` of them. Not
// thread-safe: the registry guards it.
class RequestLog {
 public:
  using Key = std::pair<uid_t, std::string>;  // caller and request id

  struct Entry {
    std::string fingerprint;  // of the request
    Uid segment = {};
    uint64_t generation = 0;  // of the segment
  };

  explicit RequestLog(size_t capacity) : capacity_(capacity) {}

  // The create that `caller` made under `request_id`.
  std::optional<Entry> Find(uid_t caller, const std::string& request_id) const;

  // Returns the oldest one when that has to go.
  std::optional<Key> Record(uid_t caller, const std::string& request_id,
                            Entry entry);

  // As if the request had never been; no effect for an unknown one.
  void Forget(uid_t caller, const std::string& request_id);

 private:
  struct Slot {
    Entry entry;
    std::list<Key>::iterator age;
  };

  const size_t capacity_;
  absl::flat_hash_map<Key, Slot> entries_;
  std::list<Key> by_age_;  // the oldest first
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_REQUEST_LOG_H_
