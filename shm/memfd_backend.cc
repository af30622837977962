#include "shm/memfd_backend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/descriptor_object.h"
#include "shm/limits.h"
#include "shm/node_pages.h"
#include "shm/page_store.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"
#include "shm/sys/memory.h"

// Since Linux 5.1; not in every libc's headers.
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace shmd {
namespace {

int InitialSeals(const SegmentOptions& options) {
  int seals = options.revocable ? 0 : F_SEAL_SHRINK;
  if (!options.resizable) seals |= F_SEAL_GROW;
  // Without this any holder that may write can add F_SEAL_WRITE.
  if (options.seal_policy == SealPolicy::kNeverSealed) seals |= F_SEAL_SEAL;
  return seals;
}

// Of one without pages that nobody has changed yet; less the inode's owner,
// group and mode.
ObjectStatus FirstStatus(const KernelObject& object, uint64_t size_bytes) {
  ObjectStatus status;
  status.size_bytes = size_bytes;
  status.page_size_bytes = object.page_size_bytes;
  status.seals = object.first_seals;
  return status;
}

}  // namespace

bool MemfdBackend::RecentFileSize::Allows(uint64_t bytes) const {
  constexpr int64_t kMomentNs = 1000000;
  const int64_t at_ns = at_ns_.load(std::memory_order_acquire);
  return at_ns != INT64_MIN &&
         ReadClockNs(CLOCK_MONOTONIC) - at_ns < kMomentNs &&
         bytes <= bytes_.load(std::memory_order_relaxed);
}

void MemfdBackend::RecentFileSize::Note(uint64_t bytes) {
  bytes_.store(bytes, std::memory_order_relaxed);
  at_ns_.store(ReadClockNs(CLOCK_MONOTONIC), std::memory_order_release);
}

MemfdBackend::MemfdBackend(uint64_t memory_reserve_bytes, bool identify)
    : memory_reserve_bytes_(memory_reserve_bytes), identify_(identify) {
  absl::StatusOr<UniqueFd> own = sys::OpenOwnDescriptors();
  if (own.ok()) own_descriptors_ = *std::move(own);
  // To see them.
  can_be_late_ =
      sys::MemfdCreate(BasePageSizeBytes(), &kernel_seals_).ok() && !identify;
}

bool MemfdBackend::IsMadeLate(const SegmentOptions& options) const {
  return options.may_be_late && can_be_late_ &&
         options.allocation == Allocation::kLazy &&
         options.numa.mode == NumaMode::kNone &&
         options.page_size_bytes == BasePageSizeBytes();
}

absl::StatusOr<KernelObject> MemfdBackend::MakeLate(
    const SegmentOptions& options) const {
  // What could be in the way later. Its descriptor is counted by whoever asks.
  if (!file_sizes_.Allows(options.size_bytes)) {
    RETURN_IF_ERROR(CheckFileSize(options.size_bytes));
    file_sizes_.Note(options.size_bytes);
  }
  KernelObject object;
  object.page_size_bytes = options.page_size_bytes;
  object.late = LateSize(options.size_bytes);
  object.first_seals = kernel_seals_ | InitialSeals(options);
  return object;
}

absl::StatusOr<int> MemfdBackend::Descriptor(const KernelObject& object) const {
  if (object.late.Get() == 0) return object.memfd.get();
  const std::lock_guard<std::mutex> lock(making_);
  const uint64_t size_bytes = object.late.Get();
  if (size_bytes == 0) return object.memfd.get();
  ASSIGN_OR_RETURN(UniqueFd made, sys::MemfdCreate(object.page_size_bytes));
  RETURN_IF_ERROR(sys::Ftruncate(made.get(), size_bytes));
  RETURN_IF_ERROR(
      sys::AddSeals(made.get(), object.first_seals & ~kernel_seals_));
  object.memfd = std::move(made);
  object.late.Clear();
  return object.memfd.get();
}

absl::StatusOr<KernelObject> MemfdBackend::Make(
    const SegmentOptions& options) const {
  if (IsMadeLate(options)) return MakeLate(options);
  const PageStore store =
      MemoryStore(options.page_size_bytes, memory_reserve_bytes_);
  // Before pages are taken; without any, ftruncate(2) says it itself.
  if (options.allocation == Allocation::kReserved) {
    RETURN_IF_ERROR(CheckFileSize(options.size_bytes));
  }
  RETURN_IF_ERROR(
      store.Check(options.size_bytes, options.allocation, options.populate));
  if (options.lock_in_memory) RETURN_IF_ERROR(CheckLock(options.size_bytes));

  KernelObject object;
  object.page_size_bytes = options.page_size_bytes;
  ASSIGN_OR_RETURN(object.memfd, sys::MemfdCreate(options.page_size_bytes,
                                                  &object.first_seals));
  const int fd = object.memfd.get();
  RETURN_IF_ERROR(GrowDescriptor(fd, GrowthOf(options), store));
  if (options.lock_in_memory) {
    object.locked = std::make_shared<LockedPages>();
    RETURN_IF_ERROR(LockDescriptor(fd, options.size_bytes,
                                   options.page_size_bytes, *object.locked));
  }
  RETURN_IF_ERROR(sys::AddSeals(fd, InitialSeals(options)));
  object.first_seals |= InitialSeals(options);
  // Nobody can find it again by a name, but who keeps its descriptor can tell
  // it from others.
  object.name.backend = BackendKind::kMemfd;
  if (identify_) {
    struct stat made = {};
    if (fstat(fd, &made) != 0) return ErrnoStatus(errno, "fstat");
    object.name.device = made.st_dev;
    object.name.inode = made.st_ino;
  }
  return object;
}

absl::Status MemfdBackend::Finish(const KernelObject&,
                                  const SegmentOptions&) const {
  return absl::OkStatus();
}

absl::Status MemfdBackend::RemoveUnfinished(const AdoptOptions&) const {
  // It ended with its maker.
  return absl::OkStatus();
}

absl::StatusOr<KernelObject> MemfdBackend::Adopt(const AdoptOptions&) const {
  return BackendUnsupported("a memfd has no name to be adopted by");
}

absl::StatusOr<KernelObject> MemfdBackend::Reopen(const ObjectName&,
                                                  uint64_t) const {
  return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
               "a memfd ends with the last program that holds it");
}

absl::StatusOr<ObjectRef> MemfdBackend::Open(const KernelObject& object,
                                             Access access) const {
  ASSIGN_OR_RETURN(const int fd, Descriptor(object));
  if (access == Access::kReadWrite) {
    ASSIGN_OR_RETURN(UniqueFd writer, sys::Duplicate(fd));
    return ObjectRef(std::move(writer));
  }
  // A description of its own, which the kernel lets nobody write through.
  ASSIGN_OR_RETURN(UniqueFd reader,
                   own_descriptors_.valid()
                       ? sys::ReopenIn(own_descriptors_.get(), fd, O_RDONLY)
                       : sys::Reopen(fd, O_RDONLY));
  return ObjectRef(std::move(reader));
}

absl::Status MemfdBackend::Remove(const KernelObject&) const {
  return absl::OkStatus();
}

absl::Status MemfdBackend::Revoke(const KernelObject& object) const {
  ASSIGN_OR_RETURN(const int fd, Descriptor(object));
  return sys::Ftruncate(fd, 0);
}

absl::Status MemfdBackend::Resize(const KernelObject& object,
                                  const SegmentOptions& options) const {
  ASSIGN_OR_RETURN(const int fd, Descriptor(object));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd));
  ASSIGN_OR_RETURN(const int seals, sys::GetSeals(fd));
  const uint64_t old_size_bytes = static_cast<uint64_t>(found.st_size);
  if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentSealed,
                 "a sealed segment keeps its size");
  }
  if (options.size_bytes == old_size_bytes) return absl::OkStatus();
  if (options.size_bytes < old_size_bytes || (seals & F_SEAL_GROW) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kNotResizable,
                 "the segment cannot get this size")
        .With("size_bytes", old_size_bytes);
  }
  ResizeRequest request;
  request.size_bytes = options.size_bytes;
  request.allocation = options.allocation;
  request.numa = options.numa;
  request.locked = object.locked.get();
  return ResizeDescriptor(
      fd, request, MemoryStore(object.page_size_bytes, memory_reserve_bytes_));
}

absl::Status MemfdBackend::Seal(const KernelObject& object,
                                SealExtent extent) const {
  ASSIGN_OR_RETURN(const int fd, Descriptor(object));
  ASSIGN_OR_RETURN(const int seals, sys::GetSeals(fd));
  if (extent == SealExtent::kNewWriters) {
    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
      return absl::OkStatus();
    }
    return sys::AddSeals(fd, F_SEAL_FUTURE_WRITE);
  }
  if ((seals & F_SEAL_WRITE) == 0) {
    RETURN_IF_ERROR(sys::AddSeals(fd, F_SEAL_WRITE));
  }
  if ((seals & F_SEAL_SEAL) != 0) return absl::OkStatus();
  return sys::AddSeals(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

absl::Status MemfdBackend::SetOwnership(const KernelObject&, mode_t, uid_t,
                                        gid_t) const {
  return absl::OkStatus();
}

absl::Status MemfdBackend::Flush(const KernelObject&, FlushMode, uint64_t,
                                 uint64_t) const {
  return absl::OkStatus();
}

std::optional<ObjectStatus> MemfdBackend::FreshStatus(
    const KernelObject& object, const SegmentOptions& options) const {
  // Pages that were reserved may be more than asked for.
  if (options.allocation != Allocation::kLazy) return std::nullopt;
  return FirstStatus(object, options.size_bytes);
}

absl::StatusOr<ObjectStatus> MemfdBackend::Status(const KernelObject& object,
                                                  bool with_nodes) const {
  const uint64_t late_bytes = object.late.Get();
  if (late_bytes != 0 && !with_nodes) {
    ObjectStatus status = FirstStatus(object, late_bytes);
    status.owner = geteuid();
    status.group = getegid();
    status.mode = 0600;
    return status;
  }
  ASSIGN_OR_RETURN(const int fd, Descriptor(object));
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd));
  ObjectStatus status = StatusOfStat(found, object.page_size_bytes);
  ASSIGN_OR_RETURN(status.seals, sys::GetSeals(fd));
  if (object.locked != nullptr) {
    status.locked_bytes = object.locked->size_bytes();
  }
  if (with_nodes) {
    // Read-only, so as not to be in the way of F_SEAL_WRITE meanwhile.
    ASSIGN_OR_RETURN(const UniqueFd reader, sys::Reopen(fd, O_RDONLY));
    ASSIGN_OR_RETURN(status.node_pages, CountNodePages(reader.get(), status));
  }
  return status;
}

}  // namespace shmd
