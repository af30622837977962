#include "shm/page_store.h"

#include <cerrno>

#include "absl/status/statusor.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/limits.h"
#include "shm/sys/errno_table.h"

namespace shmd {
namespace {

uint64_t ValueOrZero(const absl::StatusOr<uint64_t>& value) {
  return value.ok() ? *value : 0;
}

absl::Status ShortOf(const PageStore& store, uint64_t bytes) {
  switch (store.kind) {
    case PageStore::Kind::kPosixTmpfs:
      return Exhausted(reason::kShmSpaceExhausted,
                       "the tmpfs of POSIX shared memory", bytes,
                       ValueOrZero(ReadFileSystemAvailableBytes("/dev/shm")));
    case PageStore::Kind::kFileSystem:
      return Exhausted(reason::kFileSpaceExhausted,
                       "the file system of the root", bytes,
                       ValueOrZero(ReadFileSystemAvailableBytes(store.path)));
    case PageStore::Kind::kHugePages:
      return Exhausted(reason::kHugepagesExhausted,
                       "the kernel's pool (vm.nr_hugepages)",
                       bytes / store.page_size_bytes, 0, "pages")
          .With("page_size_bytes", store.page_size_bytes);
    case PageStore::Kind::kMemory:
      break;
  }
  if (!store.path.empty()) {
    return Exhausted(reason::kFileSpaceExhausted, "the file system of the root",
                     bytes,
                     ValueOrZero(ReadFileSystemAvailableBytes(store.path)));
  }
  return Exhausted(reason::kMemoryExhausted, "the host's available memory",
                   bytes, ValueOrZero(ReadMemoryAvailableBytes()));
}

}  // namespace

absl::Status PageStore::Check(uint64_t bytes, Allocation allocation,
                              bool populate) const {
  const bool reserved = allocation == Allocation::kReserved;
  switch (kind) {
    case Kind::kHugePages:
      // Taken out of memory when the pool was made.
      return CheckHugePages(page_size_bytes, bytes);
    case Kind::kFileSystem:
      RETURN_IF_ERROR(CheckFileSpace(path, bytes));
      // Its reserved pages are blocks of storage until they are touched.
      if (!populate) return absl::OkStatus();
      break;
    case Kind::kPosixTmpfs:
      RETURN_IF_ERROR(CheckPosixSpace(bytes));
      break;
    case Kind::kMemory:
      if (!path.empty()) RETURN_IF_ERROR(CheckFileSpace(path, bytes));
      break;
  }
  if (!reserved && !populate) return absl::OkStatus();
  return CheckMemory(bytes, memory_reserve_bytes);
}

absl::Status PageStore::Explain(absl::Status failure, uint64_t bytes) const {
  if (failure.code() != absl::StatusCode::kResourceExhausted) return failure;
  const std::string reason = GetErrorReason(failure);
  if (reason == reason::kFileSizeLimitExceeded) {
    RETURN_IF_ERROR(CheckFileSize(bytes));
    return Exhausted(reason::kFileSizeLimitExceeded,
                     "the file system's largest file", bytes, 0);
  }
  // What already has its numbers.
  if (GetErrorDetail(failure).metadata.count("requested") != 0) return failure;
  const int error_number = sys::ErrnoOf(failure);
  if (error_number == ENOMEM && kind != Kind::kHugePages) {
    return Exhausted(reason::kMemoryExhausted, "the host's available memory",
                     bytes, ValueOrZero(ReadMemoryAvailableBytes()));
  }
  const absl::Status now = Check(bytes, Allocation::kReserved, false);
  return now.ok() ? ShortOf(*this, bytes) : now;
}

PageStore MemoryStore(uint64_t page_size_bytes, uint64_t memory_reserve_bytes) {
  PageStore store;
  store.kind = page_size_bytes > BasePageSizeBytes()
                   ? PageStore::Kind::kHugePages
                   : PageStore::Kind::kMemory;
  store.page_size_bytes = page_size_bytes;
  store.memory_reserve_bytes = memory_reserve_bytes;
  return store;
}

}  // namespace shmd
