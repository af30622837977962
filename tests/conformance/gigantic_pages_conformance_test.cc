#include "tests/conformance/backend_conformance.h"

namespace shmd {
namespace {

// In a program of their own: the pool has two of these pages, which is what
// each test wants. Mounts a hugetlbfs.
INSTANTIATE_TEST_SUITE_P(
    GiganticPages, BackendConformance,
    testing::Values(BackendCase{BackendKind::kMemfd, 1 << 30},
                    BackendCase{BackendKind::kSysv, 1 << 30},
                    BackendCase{BackendKind::kMappedFile, 1 << 30}),
    CaseName);

}  // namespace
}  // namespace shmd
