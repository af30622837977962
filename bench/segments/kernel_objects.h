#ifndef SHMD_BENCH_SEGMENTS_KERNEL_OBJECTS_H_
#define SHMD_BENCH_SEGMENTS_KERNEL_OBJECTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/types.h"

namespace shmd::bench {

// A segment without a daemon: what the kernel must be asked for, by the same
// system calls in the same order as the backends of shm/ make them, and no
// others: no check of limits, no metadata. Plain files lie in `folder`.
class KernelObject {
 public:
  static absl::StatusOr<KernelObject> Create(BackendKind backend,
                                             uint64_t size_bytes,
                                             const std::string& folder);

  absl::Status Remove();

 private:
  BackendKind backend_ = BackendKind::kMemfd;
  UniqueFd fd_;  // memfd
  int sysv_id_ = -1;
  std::string folder_;
  std::string name_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SEGMENTS_KERNEL_OBJECTS_H_
