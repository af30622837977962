#ifndef SHMD_SHM_SYS_NUMA_H_
#define SHMD_SHM_SYS_NUMA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "shm/types.h"

namespace shmd::sys {

// Memory nodes. Thread-safe.

// Sets the policy of a range of a shared mapping of memory: it stays with the
// object's pages, whoever touches them. FIELD_INVALID for a node that is not
// there or has no memory; BACKEND_UNSUPPORTED where the kernel has no nodes.
absl::Status SetPolicy(void* address, size_t length_bytes,
                       const NumaPolicy& policy);

// The policy of the page at `address`; kNone when it has none of its own.
absl::StatusOr<NumaPolicy> GetPolicy(void* address);

// The node of each page, negative for a page that this process has not
// mapped in.
absl::StatusOr<std::vector<int>> NodesOfPages(absl::Span<void* const> pages);

// The nodes that have memory, of those this process may use.
absl::StatusOr<std::vector<uint32_t>> NodesWithMemory();

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_NUMA_H_
