#include "shm/node_pages.h"

#include <algorithm>
#include <map>

#include "base/status_macros.h"
#include "shm/sys/memory.h"
#include "shm/sys/numa.h"
#include "shm/sys/sysv.h"

namespace shmd {
namespace {

// As much is mapped at a time, so that page tables stay small.
constexpr uint64_t kWindowBytes = uint64_t{64} << 20;

using Counts = std::map<uint32_t, uint64_t>;

std::vector<NodePages> AsList(const Counts& counts) {
  std::vector<NodePages> list;
  for (const auto& [node, pages] : counts) list.push_back({node, pages});
  return list;
}

// Maps the resident pages of a window in, which a node can be told of only
// then, and collects their addresses. Populating cannot raise SIGBUS, a read
// could.
absl::StatusOr<std::vector<void*>> TouchResident(char* window,
                                                 uint64_t window_bytes) {
  const uint64_t page_bytes = BasePageSizeBytes();
  ASSIGN_OR_RETURN(const std::vector<bool> resident,
                   sys::ResidentPages(window, window_bytes));
  std::vector<void*> pages;
  for (size_t i = 0; i < resident.size();) {
    if (!resident[i]) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < resident.size() && resident[end]) {
      pages.push_back(window + end * page_bytes);
      ++end;
    }
    // Of pages that go in the meantime new ones are made.
    sys::PopulateForReading(window + i * page_bytes, (end - i) * page_bytes)
        .IgnoreError();
    i = end;
  }
  return pages;
}

absl::Status CountPages(const std::vector<void*>& pages, Counts& counts) {
  if (pages.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<int> nodes, sys::NodesOfPages(pages));
  for (const int node : nodes) {
    if (node >= 0) ++counts[static_cast<uint32_t>(node)];
  }
  return absl::OkStatus();
}

// For a window all of whose pages exist.
absl::Status CountFullWindow(char* window, uint64_t window_bytes,
                             uint64_t page_size_bytes, Counts& counts) {
  RETURN_IF_ERROR(sys::PopulateForReading(window, window_bytes));
  std::vector<void*> pages;
  for (uint64_t at = 0; at < window_bytes; at += page_size_bytes) {
    pages.push_back(window + at);
  }
  return CountPages(pages, counts);
}

// `all_exist`: mincore(2) does not tell of pages that fallocate(2) made and
// nobody has written, so it is asked only where some may be missing.
absl::Status CountWindow(char* window, uint64_t window_bytes,
                         uint64_t page_size_bytes, bool all_exist,
                         Counts& counts) {
  if (all_exist) {
    return CountFullWindow(window, window_bytes, page_size_bytes, counts);
  }
  ASSIGN_OR_RETURN(const std::vector<void*> pages,
                   TouchResident(window, window_bytes));
  return CountPages(pages, counts);
}

// Whether there is nothing to look at page by page; then `counts` is complete.
// So it is where there is one node: a look maps pages in, and would bring back
// those that go meanwhile.
absl::StatusOr<bool> CountWithoutLooking(const ObjectStatus& status,
                                         Counts& counts) {
  if (status.resident_bytes == 0) return true;
  ASSIGN_OR_RETURN(const std::vector<uint32_t> nodes, sys::NodesWithMemory());
  if (nodes.size() == 1) {
    counts[nodes[0]] = status.resident_bytes / status.page_size_bytes;
    return true;
  }
  return status.page_size_bytes > BasePageSizeBytes() &&
         status.resident_bytes < status.size_bytes;
}

}  // namespace

absl::StatusOr<std::vector<NodePages>> CountNodePages(
    int fd, const ObjectStatus& status) {
  Counts counts;
  ASSIGN_OR_RETURN(const bool counted, CountWithoutLooking(status, counts));
  if (counted) return AsList(counts);
  const uint64_t end_bytes =
      RoundUpToPages(status.size_bytes, status.page_size_bytes);
  const uint64_t step_bytes = std::max(kWindowBytes, status.page_size_bytes);
  const bool all_exist = status.resident_bytes >= end_bytes;
  for (uint64_t at = 0; at < end_bytes; at += step_bytes) {
    sys::MmapRequest request;
    request.fd = fd;
    request.offset_bytes = at;
    request.length_bytes = std::min(step_bytes, end_bytes - at);
    request.reserve_nothing = true;
    ASSIGN_OR_RETURN(const sys::ScopedMmap window,
                     sys::ScopedMmap::Map(request));
    RETURN_IF_ERROR(CountWindow(static_cast<char*>(window.data()),
                                window.size_bytes(), status.page_size_bytes,
                                all_exist, counts));
  }
  return AsList(counts);
}

absl::StatusOr<std::vector<NodePages>> CountSysvNodePages(
    int id, const ObjectStatus& status) {
  Counts counts;
  ASSIGN_OR_RETURN(const bool counted, CountWithoutLooking(status, counts));
  if (counted) return AsList(counts);
  ASSIGN_OR_RETURN(const sys::ScopedShmat attached,
                   sys::ScopedShmat::Attach(id, false));
  const uint64_t end_bytes =
      RoundUpToPages(status.size_bytes, status.page_size_bytes);
  const uint64_t step_bytes = std::max(kWindowBytes, status.page_size_bytes);
  const bool all_exist = status.resident_bytes >= end_bytes;
  for (uint64_t at = 0; at < end_bytes; at += step_bytes) {
    RETURN_IF_ERROR(CountWindow(static_cast<char*>(attached.data()) + at,
                                std::min(step_bytes, end_bytes - at),
                                status.page_size_bytes, all_exist, counts));
  }
  return AsList(counts);
}

}  // namespace shmd
