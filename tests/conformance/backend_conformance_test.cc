#include "tests/conformance/backend_conformance.h"

namespace shmd {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Backends, BackendConformance,
    testing::Values(BackendCase{BackendKind::kMemfd, 4096},
                    BackendCase{BackendKind::kMemfd, 4096, /*is_late=*/true},
                    BackendCase{BackendKind::kPosix, 4096},
                    BackendCase{BackendKind::kSysv, 4096},
                    BackendCase{BackendKind::kMappedFile, 4096},
                    BackendCase{BackendKind::kMemfd, 2 << 20},
                    BackendCase{BackendKind::kSysv, 2 << 20}),
    CaseName);

}  // namespace
}  // namespace shmd
