#ifndef SHMD_SERVER_REGISTRY_BUDGET_H_
#define SHMD_SERVER_REGISTRY_BUDGET_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace shmd {

// What the daemon may promise in all, whatever the namespace (which has quotas
// of its own: namespace_table.h). Sizes are counted whole, also of LAZY
// segments: a promise is a promise. Thread-safe.
class Budget {
 public:
  struct Limits {
    uint64_t memory_bytes = 0;        // all segments that live in memory
    uint64_t memory_descriptors = 0;  // memfd segments: one descriptor each
  };

  struct Use {
    uint64_t memory_bytes = 0;
    uint64_t bytes = 0;
    uint64_t segments = 0;
    uint64_t descriptors = 0;
    uint64_t huge_page_bytes = 0;
    uint64_t spilled_bytes = 0;  // of files, which count as nothing else

    void Add(const Use& more);
  };

  explicit Budget(const Limits& limits) : limits_(limits) {}

  // Takes `more` or refuses: BUDGET_EXCEEDED, DESCRIPTORS_EXHAUSTED (both
  // RESOURCE_EXHAUSTED).
  absl::Status Take(const Use& more);

  void GiveBack(const Use& less);

  // Counts what exists already, whatever the limits say.
  void TakeAnyway(const Use& more);

  Use used() const;
  const Limits& limits() const { return limits_; }

 private:
  const Limits limits_;
  mutable absl::Mutex mutex_;
  Use used_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_BUDGET_H_
