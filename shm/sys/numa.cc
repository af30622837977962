#include "shm/sys/numa.h"

#include <numaif.h>

#include <array>
#include <cerrno>

#include "base/error_reason.h"
#include "shm/sys/errno_table.h"

namespace shmd::sys {
namespace {

using absl::StatusCode;

// As many as any kernel is built for.
constexpr unsigned kMaxNodes = 1024;
constexpr unsigned kBitsPerWord = 8 * sizeof(unsigned long);
using NodeMask = std::array<unsigned long, kMaxNodes / kBitsPerWord>;

constexpr ErrnoRow kPolicyTable[] = {
    {EINVAL, StatusCode::kInvalidArgument, reason::kFieldInvalid,
     "a memory node is not there, or has no memory"},
    {EPERM, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the daemon may not choose memory nodes"},
    {ENOSYS, StatusCode::kUnimplemented, reason::kBackendUnsupported,
     "the kernel has no memory nodes"},
    {ENOMEM, StatusCode::kResourceExhausted, reason::kMemoryExhausted,
     "no memory for the policy"},
};

int KernelMode(NumaMode mode) {
  switch (mode) {
    case NumaMode::kBind:
      return MPOL_BIND;
    case NumaMode::kInterleave:
      return MPOL_INTERLEAVE;
    case NumaMode::kPreferred:
      return MPOL_PREFERRED;
    case NumaMode::kNone:
      break;
  }
  return MPOL_DEFAULT;
}

NumaMode ModeOfKernel(int mode) {
  switch (mode) {
    case MPOL_BIND:
      return NumaMode::kBind;
    case MPOL_INTERLEAVE:
      return NumaMode::kInterleave;
    case MPOL_PREFERRED:
      return NumaMode::kPreferred;
    default:
      return NumaMode::kNone;
  }
}

std::vector<uint32_t> NodesOf(const NodeMask& mask) {
  std::vector<uint32_t> nodes;
  for (unsigned node = 0; node < kMaxNodes; ++node) {
    if ((mask[node / kBitsPerWord] >> (node % kBitsPerWord)) & 1) {
      nodes.push_back(node);
    }
  }
  return nodes;
}

}  // namespace

absl::Status SetPolicy(void* address, size_t length_bytes,
                       const NumaPolicy& policy) {
  NodeMask mask = {};
  for (const uint32_t node : policy.nodes) {
    if (node >= kMaxNodes) return StatusOfErrno(EINVAL, "mbind", kPolicyTable);
    mask[node / kBitsPerWord] |= 1UL << (node % kBitsPerWord);
    // Only the first counts for MPOL_PREFERRED.
    if (policy.mode == NumaMode::kPreferred) break;
  }
  // The kernel takes one bit less than `maxnode` says.
  if (mbind(address, length_bytes, KernelMode(policy.mode), mask.data(),
            kMaxNodes + 1, 0) == 0) {
    return absl::OkStatus();
  }
  return StatusOfErrno(errno, "mbind", kPolicyTable);
}

absl::StatusOr<NumaPolicy> GetPolicy(void* address) {
  int mode = MPOL_DEFAULT;
  NodeMask mask = {};
  if (get_mempolicy(&mode, mask.data(), kMaxNodes + 1, address, MPOL_F_ADDR) !=
      0) {
    // Where there are no nodes there is no policy.
    if (errno == ENOSYS || errno == EPERM) return NumaPolicy();
    return StatusOfErrno(errno, "get_mempolicy", kPolicyTable);
  }
  NumaPolicy policy;
  policy.mode = ModeOfKernel(mode);
  if (policy.mode != NumaMode::kNone) policy.nodes = NodesOf(mask);
  return policy;
}

absl::StatusOr<std::vector<int>> NodesOfPages(absl::Span<void* const> pages) {
  // SAFETY: move_pages(2) does not change the array of addresses.
  void** const addresses = const_cast<void**>(pages.data());
  std::vector<int> nodes(pages.size(), -ENOENT);
  if (move_pages(0, pages.size(), addresses, nullptr, nodes.data(), 0) < 0) {
    return StatusOfErrno(errno, "move_pages", kPolicyTable);
  }
  return nodes;
}

absl::StatusOr<std::vector<uint32_t>> NodesWithMemory() {
  NodeMask mask = {};
  if (get_mempolicy(nullptr, mask.data(), kMaxNodes + 1, nullptr,
                    MPOL_F_MEMS_ALLOWED) != 0) {
    return StatusOfErrno(errno, "get_mempolicy", kPolicyTable);
  }
  return NodesOf(mask);
}

}  // namespace shmd::sys
