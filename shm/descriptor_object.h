#ifndef SHMD_SHM_DESCRIPTOR_OBJECT_H_
#define SHMD_SHM_DESCRIPTOR_OBJECT_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shm/kernel_object.h"
#include "shm/page_store.h"
#include "shm/sys/file.h"
#include "shm/types.h"

namespace shmd {

// What memfd, posix and mapped_file have in common: objects that are reached
// by a descriptor. Thread-safe.

struct GrowRequest {
  uint64_t old_size_bytes = 0;
  uint64_t new_size_bytes = 0;
  Allocation allocation = Allocation::kLazy;
  bool populate = false;
  NumaPolicy numa;
  HugePageAdvice huge_page_advice = HugePageAdvice::kUnspecified;
};

// What Create asks for, as growth from nothing.
GrowRequest GrowthOf(const SegmentOptions& options);

// Makes the object of the read-write `fd` larger. The pages come first, the
// size last: a failure leaves the size as it was, except that of a file whose
// file system cannot allocate ahead, and returns the pages.
absl::Status GrowDescriptor(int fd, const GrowRequest& request,
                            const PageStore& store);

// Makes the object larger or smaller. `locked` is what keeps its pages in
// memory, nullptr when nothing does.
struct ResizeRequest {
  uint64_t size_bytes = 0;
  Allocation allocation = Allocation::kLazy;
  NumaPolicy numa;  // none: that of the first page
  LockedPages* locked = nullptr;
};
absl::Status ResizeDescriptor(int fd, const ResizeRequest& request,
                              const PageStore& store);

// Locks all pages of the object of `fd`; extends what `locked` has already.
absl::Status LockDescriptor(int fd, uint64_t size_bytes,
                            uint64_t page_size_bytes, LockedPages& locked);

// fchown(2), where it changes something, and then fchmod(2), so that a new
// owner never meets an old mode. All or nothing.
absl::Status SetDescriptorOwnership(int fd, mode_t mode, uid_t owner,
                                    gid_t group);

// OBJECT_UNSUITABLE unless it is a regular file with one name and a size.
absl::Status CheckAdoptable(const struct stat& found);

// Whether it is what a Make of ours left (Backend::RemoveUnfinished).
bool IsUnfinished(const struct stat& found);

// Whether `found` is the object that `name` was recorded for.
bool IsSameObject(const ObjectName& name, const sys::FileStat& found);

// The same of a file that an earlier run has recorded, on a file system of this
// id (sys::FileSystem). Its device may have another number after each start of
// the host (the order of disks, device mapper, Btrfs).
bool IsSameRecordedFile(const ObjectName& name, const sys::FileStat& found,
                        uint64_t file_system);

// Fills the part of `name` that tells the object from later ones.
void SetIdentity(const sys::FileStat& found, ObjectName& name);

// OBJECT_REPLACED (FAILED_PRECONDITION).
absl::Status ObjectReplaced();

// `failure`, or OBJECT_REPLACED where it says that there is no such object.
absl::Status GoneMeansReplaced(absl::Status failure);

// The part of ObjectStatus that fstat(2) tells.
ObjectStatus StatusOfStat(const struct stat& found, uint64_t page_size_bytes);

// Of an object that was just made with `options`: without a system call, and
// without its owner, group and mode.
ObjectStatus StatusWhenMade(const KernelObject& object,
                            const SegmentOptions& options);

}  // namespace shmd

#endif  // SHMD_SHM_DESCRIPTOR_OBJECT_H_
