#include "tests/conformance/backend_conformance.h"

namespace shmd {
namespace {

// Mounts a hugetlbfs, which takes the privilege to.
INSTANTIATE_TEST_SUITE_P(Hugetlbfs, BackendConformance,
                         testing::Values(BackendCase{BackendKind::kMappedFile,
                                                     2 << 20}),
                         CaseName);

}  // namespace
}  // namespace shmd
