#include "shm/descriptor_object.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/backend.h"
#include "shm/limits.h"
#include "shm/sys/file.h"
#include "shm/sys/memory.h"
#include "shm/sys/numa.h"

namespace shmd {
namespace {

// Between two of these, memory is looked at again: a memory cgroup kills, it
// does not refuse, and others allocate as well.
constexpr uint64_t kReserveChunkBytes = uint64_t{256} << 20;

bool IsHuge(const PageStore& store) {
  return store.page_size_bytes > BasePageSizeBytes();
}

// Of huge pages the kernel keeps no policy with the object, as it does of
// others (mm/hugetlb.c has no set_policy): who touches a page places it. And
// one of a bound node can be lacking then although the pool has promised one.
bool MustPlace(const GrowRequest& request, const PageStore& store) {
  return IsHuge(store) && request.numa.mode != NumaMode::kNone;
}

bool MustTouch(const GrowRequest& request, const PageStore& store) {
  return request.populate || MustPlace(request, store);
}

// Growth as whole pages of the object.
struct Span {
  uint64_t start_bytes;
  uint64_t length_bytes;
};

Span PagesOf(const GrowRequest& request, const PageStore& store) {
  const uint64_t page = store.page_size_bytes;
  const uint64_t start = request.old_size_bytes / page * page;
  return {start, RoundUpToPages(request.new_size_bytes, page) - start};
}

absl::StatusOr<sys::ScopedMmap> MapPages(int fd, const Span& pages,
                                         bool writable, bool reserve_nothing) {
  sys::MmapRequest request;
  request.fd = fd;
  request.offset_bytes = pages.start_bytes;
  request.length_bytes = pages.length_bytes;
  request.writable = writable;
  request.reserve_nothing = reserve_nothing;
  return sys::ScopedMmap::Map(request);
}

absl::Status SetPolicyOf(const sys::ScopedMmap& mapped,
                         const NumaPolicy& policy) {
  return InFieldIf(reason::kFieldInvalid, "segment.numa_policy.nodes",
                   sys::SetPolicy(mapped.data(), mapped.size_bytes(), policy));
}

absl::Status PlaceOnNodes(int fd, const NumaPolicy& policy, const Span& pages) {
  if (policy.mode == NumaMode::kNone) return absl::OkStatus();
  // The policy is the object's: it outlives this mapping.
  ASSIGN_OR_RETURN(const sys::ScopedMmap mapped,
                   MapPages(fd, pages, false, true));
  return SetPolicyOf(mapped, policy);
}

absl::Status ReservePages(int fd, const GrowRequest& request,
                          const PageStore& store) {
  uint64_t at_bytes = request.old_size_bytes;
  while (at_bytes < request.new_size_bytes) {
    const uint64_t left_bytes = request.new_size_bytes - at_bytes;
    const uint64_t chunk_bytes = std::min(left_bytes, kReserveChunkBytes);
    if (at_bytes != request.old_size_bytes && !IsHuge(store) &&
        store.kind != PageStore::Kind::kFileSystem) {
      RETURN_IF_ERROR(CheckMemory(left_bytes, store.memory_reserve_bytes));
    }
    RETURN_IF_ERROR(sys::Preallocate(fd, at_bytes, chunk_bytes));
    at_bytes += chunk_bytes;
  }
  return absl::OkStatus();
}

absl::Status SetSize(int fd, const GrowRequest& request,
                     const PageStore& store) {
  if (IsHuge(store)) {
    // Takes the pages out of the pool for this object, until it ends.
    RETURN_IF_ERROR(
        MapPages(fd, PagesOf(request, store), true, false).status());
  }
  return sys::Ftruncate(fd, request.new_size_bytes);
}

absl::Status TouchPages(int fd, const GrowRequest& request,
                        const PageStore& store) {
  if (!MustTouch(request, store)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const sys::ScopedMmap mapped,
                   MapPages(fd, PagesOf(request, store), true, false));
  if (MustPlace(request, store)) {
    RETURN_IF_ERROR(SetPolicyOf(mapped, request.numa));
  }
  if (request.huge_page_advice == HugePageAdvice::kWanted) {
    // A wish: kernels without transparent huge pages refuse it.
    sys::AdviseHugePages(mapped.data(), mapped.size_bytes(), true)
        .IgnoreError();
  }
  return sys::PopulateForWriting(mapped.data(), mapped.size_bytes());
}

absl::Status Grow(int fd, const GrowRequest& request, const PageStore& store) {
  RETURN_IF_ERROR(PlaceOnNodes(fd, request.numa, PagesOf(request, store)));
  // Allocating ahead would take base pages where huge ones are wanted, and huge
  // ones from any node.
  const bool touch_allocates =
      MustPlace(request, store) ||
      (request.populate && request.old_size_bytes == 0 &&
       request.huge_page_advice == HugePageAdvice::kWanted &&
       store.kind != PageStore::Kind::kFileSystem);
  bool write_zeroes = false;
  if (request.allocation == Allocation::kReserved && !touch_allocates) {
    const absl::Status reserved = ReservePages(fd, request, store);
    write_zeroes = reserved.code() == absl::StatusCode::kUnimplemented;
    if (!write_zeroes) RETURN_IF_ERROR(reserved);
  }
  RETURN_IF_ERROR(SetSize(fd, request, store));
  if (write_zeroes) {
    RETURN_IF_ERROR(
        sys::WriteZeroes(fd, request.old_size_bytes,
                         request.new_size_bytes - request.old_size_bytes));
  }
  return TouchPages(fd, request, store);
}

// Growth of an existing object; of one that others made, the new pages go to
// the same memory nodes as its first.
absl::StatusOr<GrowRequest> GrowthLike(int fd, uint64_t old_size_bytes,
                                       const ResizeRequest& resize,
                                       bool populate) {
  GrowRequest request;
  request.old_size_bytes = old_size_bytes;
  request.new_size_bytes = resize.size_bytes;
  request.allocation = resize.allocation;
  request.populate = populate;
  request.numa = resize.numa;
  if (old_size_bytes == 0 || request.numa.mode != NumaMode::kNone) {
    return request;
  }
  ASSIGN_OR_RETURN(const sys::ScopedMmap mapped,
                   MapPages(fd, {0, old_size_bytes}, false, true));
  ASSIGN_OR_RETURN(request.numa, sys::GetPolicy(mapped.data()));
  return request;
}

}  // namespace

GrowRequest GrowthOf(const SegmentOptions& options) {
  GrowRequest request;
  request.new_size_bytes = options.size_bytes;
  request.allocation = options.allocation;
  request.populate = options.populate;
  request.numa = options.numa;
  request.huge_page_advice = options.huge_page_advice;
  return request;
}

absl::Status GrowDescriptor(int fd, const GrowRequest& request,
                            const PageStore& store) {
  const absl::Status grown = Grow(fd, request, store);
  if (grown.ok()) return grown;
  // Either may be refused, by a seal or a file system: what can be given back
  // is.
  sys::Ftruncate(fd, request.old_size_bytes).IgnoreError();
  const uint64_t behind_bytes =
      RoundUpToPages(request.old_size_bytes, store.page_size_bytes);
  if (behind_bytes < request.new_size_bytes) {
    sys::PunchHole(fd, behind_bytes, request.new_size_bytes - behind_bytes)
        .IgnoreError();
  }
  return store.Explain(grown, request.new_size_bytes - request.old_size_bytes);
}

absl::Status ResizeDescriptor(int fd, const ResizeRequest& request,
                              const PageStore& store) {
  ASSIGN_OR_RETURN(const struct stat found, sys::Fstat(fd));
  const uint64_t old_size_bytes = static_cast<uint64_t>(found.st_size);
  if (request.size_bytes == old_size_bytes) return absl::OkStatus();
  const bool lock = request.locked != nullptr;
  if (request.size_bytes < old_size_bytes) {
    RETURN_IF_ERROR(sys::Ftruncate(fd, request.size_bytes));
    if (!lock) return absl::OkStatus();
    // What is locked reaches behind the new end.
    request.locked->Clear();
  } else {
    const uint64_t more_bytes = request.size_bytes - old_size_bytes;
    RETURN_IF_ERROR(CheckFileSize(request.size_bytes));
    RETURN_IF_ERROR(store.Check(more_bytes, request.allocation, lock));
    if (lock) RETURN_IF_ERROR(CheckLock(more_bytes));
    ASSIGN_OR_RETURN(const GrowRequest growth,
                     GrowthLike(fd, old_size_bytes, request, lock));
    RETURN_IF_ERROR(GrowDescriptor(fd, growth, store));
    if (!lock) return absl::OkStatus();
  }
  return LockDescriptor(fd, request.size_bytes, store.page_size_bytes,
                        *request.locked);
}

absl::Status LockDescriptor(int fd, uint64_t size_bytes,
                            uint64_t page_size_bytes, LockedPages& locked) {
  const uint64_t have_bytes = locked.size_bytes();
  const uint64_t want_bytes = RoundUpToPages(size_bytes, page_size_bytes);
  if (want_bytes <= have_bytes) return absl::OkStatus();
  RETURN_IF_ERROR(CheckLock(want_bytes - have_bytes));
  // Mapped through `fd` itself, the pages would be in the way of F_SEAL_WRITE.
  // Where the mode does not let an unprivileged daemon reopen them, there are
  // no seals either.
  const absl::StatusOr<UniqueFd> reader = sys::Reopen(fd, O_RDONLY);
  const absl::Status added = locked.Add(reader.ok() ? reader->get() : fd,
                                        have_bytes, want_bytes - have_bytes);
  if (GetErrorReason(added) != reason::kLockLimitExceeded) return added;
  return Exhausted(reason::kLockLimitExceeded, "memory that may be locked",
                   want_bytes - have_bytes, 0);
}

absl::Status SetDescriptorOwnership(int fd, mode_t mode, uid_t owner,
                                    gid_t group) {
  ASSIGN_OR_RETURN(const struct stat found, sys::Fstat(fd));
  if (found.st_uid == owner && found.st_gid == group) {
    return sys::Fchmod(fd, mode);
  }
  RETURN_IF_ERROR(sys::Fchmod(fd, 0));
  absl::Status done = sys::Fchown(fd, owner, group);
  if (done.ok()) {
    done = sys::Fchmod(fd, mode);
    if (done.ok()) return done;
    // CAP_CHOWN without CAP_FOWNER. Taken back, because what is another's
    // cannot be removed from /dev/shm either.
    sys::Fchown(fd, found.st_uid, found.st_gid).IgnoreError();
  }
  sys::Fchmod(fd, found.st_mode & 07777).IgnoreError();
  return done;
}

bool IsUnfinished(const struct stat& found) {
  return S_ISREG(found.st_mode) && found.st_uid == geteuid() &&
         (found.st_mode & 07777) == kUnfinishedMode;
}

absl::Status CheckAdoptable(const struct stat& found) {
  if (S_ISREG(found.st_mode) && found.st_nlink == 1 && found.st_size > 0) {
    return absl::OkStatus();
  }
  const char* const message = !S_ISREG(found.st_mode) ? "it is no regular file"
                              : found.st_nlink != 1   ? "it has other names"
                                                      : "it is empty";
  return Error(absl::StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
               message);
}

void SetIdentity(const sys::FileStat& found, ObjectName& name) {
  name.device = found.st_dev;
  // Multiplied by an odd number, nanoseconds reach all bits.
  name.inode = found.st_ino ^ (found.birth_ns * uint64_t{0x9e3779b97f4a7c15});
}

bool IsSameObject(const ObjectName& name, const sys::FileStat& found) {
  ObjectName other;
  SetIdentity(found, other);
  return name.device == other.device && name.inode == other.inode;
}

bool IsSameRecordedFile(const ObjectName& name, const sys::FileStat& found,
                        uint64_t file_system) {
  ObjectName other;
  SetIdentity(found, other);
  const bool has_own_identity = file_system != 0 && found.birth_ns != 0;
  return name.inode == other.inode &&
         (name.device == other.device ||
          (has_own_identity && name.file_system == file_system));
}

absl::Status ObjectReplaced() {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kObjectReplaced,
               "another program removed or replaced the segment's object");
}

absl::Status GoneMeansReplaced(absl::Status failure) {
  if (GetErrorReason(failure) == reason::kObjectNotFound) {
    return ObjectReplaced();
  }
  return failure;
}

ObjectStatus StatusOfStat(const struct stat& found, uint64_t page_size_bytes) {
  ObjectStatus status;
  status.size_bytes = static_cast<uint64_t>(found.st_size);
  status.page_size_bytes = page_size_bytes;
  status.resident_bytes = static_cast<uint64_t>(found.st_blocks) * 512;
  status.owner = found.st_uid;
  status.group = found.st_gid;
  status.mode = found.st_mode & 0777;
  return status;
}

ObjectStatus StatusWhenMade(const KernelObject& object,
                            const SegmentOptions& options) {
  ObjectStatus status;
  status.size_bytes = options.size_bytes;
  status.page_size_bytes = object.page_size_bytes;
  status.resident_bytes = object.first_resident_bytes;
  if (object.locked != nullptr) {
    status.locked_bytes = object.locked->size_bytes();
  }
  return status;
}

}  // namespace shmd
