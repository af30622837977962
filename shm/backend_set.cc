#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/backend.h"
#include "shm/file_backend.h"
#include "shm/memfd_backend.h"
#include "shm/posix_backend.h"
#include "shm/sysv_backend.h"

namespace shmd {
namespace {

std::vector<std::string> WithoutTrailingSlashes(
    std::vector<std::string> paths) {
  for (std::string& path : paths) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
  }
  return paths;
}

}  // namespace

Error BackendUnsupported(absl::string_view why) {
  return Error(absl::StatusCode::kUnimplemented, reason::kBackendUnsupported,
               why);
}

BackendSet::BackendSet(const BackendSettings& settings) {
  const uint64_t reserve_bytes = settings.memory_reserve_bytes;
  // In the order of BackendKind, which Get counts on.
  backends_.push_back(
      std::make_unique<MemfdBackend>(reserve_bytes, settings.identify_memfds));
  backends_.push_back(std::make_unique<PosixBackend>(reserve_bytes));
  backends_.push_back(std::make_unique<SysvBackend>(reserve_bytes));
  backends_.push_back(std::make_unique<FileBackend>(
      WithoutTrailingSlashes(settings.file_roots), reserve_bytes));
}

absl::StatusOr<KernelObject> Backend::Create(
    const SegmentOptions& options) const {
  ASSIGN_OR_RETURN(KernelObject object, Make(options));
  absl::Status finished = Finish(object, options);
  if (finished.ok() && object.needs_name_flush) finished = FlushName(object);
  object.unfinished = UniqueFd();
  if (finished.ok()) return object;
  Remove(object).IgnoreError();
  return finished;
}

const Backend& BackendSet::Get(BackendKind kind) const {
  return *backends_[static_cast<size_t>(kind)];
}

}  // namespace shmd
