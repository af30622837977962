#include "shm/directory/directory_reader.h"

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

absl::Status Corrupt(absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kHeaderCorrupt,
               "this cannot be a directory")
      .With("word", what);
}

}  // namespace

absl::Status CheckDirectoryHeader(const void* base, size_t mapped_bytes) {
  if (mapped_bytes < sizeof(layout::DirectoryHeader)) return Corrupt("size");
  // SAFETY: the mapping is large enough, and starts at a page.
  const auto* const header = static_cast<const layout::DirectoryHeader*>(base);
  const auto load = [](const auto* word) {
    return layout::HostMemory::Load(word, std::memory_order_acquire);
  };
  // The version is written last, so it is read first.
  const uint32_t version = load(&header->version);
  const uint64_t magic = load(&header->magic);
  if (magic != layout::kDirectoryMagic && magic != 0) return Corrupt("magic");
  if (version != layout::kDirectoryVersion) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kLayoutVersionMismatch,
                 "the directory is of another version")
        .With("found", version)
        .With("known", layout::kDirectoryVersion);
  }
  if (magic == 0) return Corrupt("magic");
  if (load(&header->header_bytes) != sizeof(layout::DirectoryHeader)) {
    return Corrupt("header_bytes");
  }
  const uint64_t max_size_bytes = load(&header->max_size_bytes);
  if (max_size_bytes > layout::kMaxDirectorySizeBytes ||
      max_size_bytes > mapped_bytes) {
    return Corrupt("max_size_bytes");
  }
  const uint64_t size_bytes = load(&header->size_bytes);
  if (size_bytes < sizeof(layout::DirectoryHeader) ||
      size_bytes > max_size_bytes) {
    return Corrupt("size_bytes");
  }
  return absl::OkStatus();
}

}  // namespace shmd
