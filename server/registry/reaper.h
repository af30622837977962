#ifndef SHMD_SERVER_REGISTRY_REAPER_H_
#define SHMD_SERVER_REGISTRY_REAPER_H_

#include <atomic>
#include <thread>

#include "server/registry/segment_registry.h"

namespace shmd {

// The thread that removes what has expired, and cleans up after sessions, which
// wake it by `registry->expiries().Wake()`. Borrows the registry.
class Reaper {
 public:
  explicit Reaper(SegmentRegistry* registry);
  ~Reaper();

 private:
  void Run();

  SegmentRegistry* const registry_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_REAPER_H_
