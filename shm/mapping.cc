#include "shm/mapping.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/limits.h"
#include "shm/sys/errno_table.h"
#include "shm/sys/file.h"
#include "shm/sys/memory.h"
#include "shm/sys/sysv.h"

namespace shmd {
namespace {

// What of the object is mapped, checked: no sum of these wraps.
struct Range {
  uint64_t page_size_bytes = 0;
  uint64_t base_offset_bytes = 0;  // at a page, at or before the range
  uint64_t lead_bytes = 0;         // from there to the range
  uint64_t length_bytes = 0;

  uint64_t mapped_bytes() const {
    return RoundUpToPages(lead_bytes + length_bytes, page_size_bytes);
  }
};

absl::StatusOr<Range> CheckRange(const MapOptions& options) {
  if (options.size_bytes == 0 || options.size_bytes > kMaxSegmentSizeBytes) {
    return InvalidField("size_bytes", reason::kSizeInvalid,
                        "a segment has 1 byte to 64 TiB");
  }
  Range range;
  range.page_size_bytes = options.page_size_bytes == 0
                              ? BasePageSizeBytes()
                              : options.page_size_bytes;
  if (range.page_size_bytes < BasePageSizeBytes() ||
      range.page_size_bytes > (uint64_t{1} << 40) ||
      (range.page_size_bytes & (range.page_size_bytes - 1)) != 0) {
    return InvalidField("page_size_bytes", reason::kPageSizeMismatch,
                        "there are no such pages");
  }
  if (options.offset_bytes >= options.size_bytes ||
      options.length_bytes > options.size_bytes - options.offset_bytes) {
    return Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
                 "the range does not lie within the segment")
        .With("offset_bytes", options.offset_bytes)
        .With("length_bytes", options.length_bytes)
        .With("size_bytes", options.size_bytes);
  }
  if (options.offset_bytes % alignof(std::max_align_t) != 0) {
    return InvalidField("offset_bytes", reason::kFieldInvalid,
                        "a range starts at a multiple of 16")
        .With("offset_bytes", options.offset_bytes);
  }
  const uintptr_t fixed = reinterpret_cast<uintptr_t>(options.fixed_address);
  if (fixed % range.page_size_bytes != 0) {
    return InvalidField("fixed_address", reason::kFieldInvalid,
                        "an address is a multiple of the page size");
  }
  range.length_bytes = options.length_bytes != 0
                           ? options.length_bytes
                           : options.size_bytes - options.offset_bytes;
  range.lead_bytes = options.offset_bytes % range.page_size_bytes;
  range.base_offset_bytes = options.offset_bytes - range.lead_bytes;
  return range;
}

Error Truncated(uint64_t size_bytes, uint64_t found_bytes) {
  return Error(absl::StatusCode::kDataLoss, reason::kSegmentTruncated,
               "the object is smaller than the segment")
      .With("size_bytes", size_bytes)
      .With("found_bytes", found_bytes);
}

// Whether it may be read and written mmap(2) says.
absl::Status CheckDescriptor(int fd, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const struct stat found, sys::Fstat(fd));
  if (!S_ISREG(found.st_mode)) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kObjectUnsuitable,
                 "the descriptor is not that of shared memory");
  }
  const uint64_t found_bytes = static_cast<uint64_t>(found.st_size);
  if (found_bytes < size_bytes) return Truncated(size_bytes, found_bytes);
  return absl::OkStatus();
}

absl::StatusOr<void*> MapDescriptor(int fd, const MapOptions& options,
                                    const Range& range, bool writable,
                                    bool private_copy) {
  RETURN_IF_ERROR(CheckDescriptor(fd, options.size_bytes));
  sys::MmapRequest request;
  request.fd = fd;
  request.offset_bytes = range.base_offset_bytes;
  request.length_bytes = range.mapped_bytes();
  request.writable = writable;
  request.private_copy = private_copy;
  request.fixed_address = options.fixed_address;
  return sys::Mmap(request);
}

// shmat(2) knows whole segments only: the range's page goes to the fixed
// address, what is before it goes before.
absl::StatusOr<void*> AttachWhole(int id, const MapOptions& options,
                                  const Range& range, bool writable) {
  ASSIGN_OR_RETURN(const sys::SysvStat found, sys::ShmStat(id));
  if (found.size_bytes < options.size_bytes) {
    return Truncated(options.size_bytes, found.size_bytes);
  }
  const uintptr_t fixed = reinterpret_cast<uintptr_t>(options.fixed_address);
  if (fixed == 0) return sys::Shmat(id, nullptr, writable);
  if (fixed <= range.base_offset_bytes) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kAddressInUse,
                 "the segment's start does not fit before the address");
  }
  void* const start = reinterpret_cast<void*>(fixed - range.base_offset_bytes);
  return sys::Shmat(id, start, writable);
}

absl::Status Lock(void* address, size_t length_bytes) {
  const absl::Status locked = sys::Mlock(address, length_bytes);
  if (locked.ok()) return locked;
  if (GetErrorReason(locked) != reason::kLockLimitExceeded) return locked;
  RETURN_IF_ERROR(CheckLock(length_bytes));
  return Exhausted(reason::kLockLimitExceeded, "memory that may be locked",
                   length_bytes, 0);
}

// What is wished for beyond the mapping itself, on its pages.
absl::Status PrepareRange(void* base, const MapOptions& options,
                          const Range& range, bool populate_writing) {
  if (options.advise_huge_pages) {
    // A wish: kernels without transparent huge pages refuse it.
    sys::AdviseHugePages(base, range.mapped_bytes(), true).IgnoreError();
  }
  if (options.populate) {
    RETURN_IF_ERROR(populate_writing
                        ? sys::PopulateForWriting(base, range.mapped_bytes())
                        : sys::PopulateForReading(base, range.mapped_bytes()));
  }
  if (options.lock_in_memory) {
    RETURN_IF_ERROR(Lock(base, range.mapped_bytes()));
  }
  return absl::OkStatus();
}

absl::Status CheckCopy(uint64_t offset_bytes, uint64_t length_bytes,
                       uint64_t size_bytes) {
  if (offset_bytes <= size_bytes && length_bytes <= size_bytes - offset_bytes) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
               "the range does not lie within the mapping")
      .With("offset_bytes", offset_bytes)
      .With("length_bytes", length_bytes)
      .With("size_bytes", size_bytes);
}

// Copies of at most this much keep a signal's latency low.
constexpr size_t kCopyChunkBytes = size_t{1} << 20;

}  // namespace

MappedRange::~MappedRange() {
  // Neither can fail for what Map has returned.
  if (kind_ == Kind::kMmap) sys::Munmap(base_, base_bytes_).IgnoreError();
  if (kind_ == Kind::kShmat) sys::Shmdt(base_).IgnoreError();
}

void MappedRange::Swap(MappedRange& other) {
  std::swap(kind_, other.kind_);
  std::swap(base_, other.base_);
  std::swap(base_bytes_, other.base_bytes_);
  std::swap(address_, other.address_);
  std::swap(size_bytes_, other.size_bytes_);
}

absl::StatusOr<MappedRange> MappedRange::Map(const ObjectRef& object,
                                             const MapOptions& options,
                                             bool writable, bool private_copy) {
  ASSIGN_OR_RETURN(const Range range, CheckRange(options));
  MappedRange mapped;
  char* first_page = nullptr;
  if (const UniqueFd* const fd = std::get_if<UniqueFd>(&object)) {
    ASSIGN_OR_RETURN(mapped.base_, MapDescriptor(fd->get(), options, range,
                                                 writable, private_copy));
    mapped.kind_ = Kind::kMmap;
    mapped.base_bytes_ = range.mapped_bytes();
    first_page = static_cast<char*>(mapped.base_);
  } else if (private_copy) {
    return Error(absl::StatusCode::kUnimplemented, reason::kBackendUnsupported,
                 "a System V segment cannot be mapped privately");
  } else {
    const int id = std::get<SysvId>(object).id;
    ASSIGN_OR_RETURN(mapped.base_, AttachWhole(id, options, range, writable));
    mapped.kind_ = Kind::kShmat;
    first_page = static_cast<char*>(mapped.base_) + range.base_offset_bytes;
  }
  mapped.address_ = first_page + range.lead_bytes;
  mapped.size_bytes_ = range.length_bytes;
  // Populating a private copy for writing would copy every page.
  RETURN_IF_ERROR(
      PrepareRange(first_page, options, range, writable && !private_copy));
  return mapped;
}

absl::Status MappedRange::GuardedRead(uint64_t offset_bytes,
                                      absl::Span<char> out) const {
  RETURN_IF_ERROR(CheckCopy(offset_bytes, out.size(), size_bytes_));
  const char* from = static_cast<const char*>(address_) + offset_bytes;
  while (!out.empty()) {
    ASSIGN_OR_RETURN(
        const size_t copied,
        sys::CopyFromOwnMemory(from, out.subspan(0, kCopyChunkBytes)));
    from += copied;
    out.remove_prefix(copied);
  }
  return absl::OkStatus();
}

absl::Status MappedRange::GuardedWrite(uint64_t offset_bytes,
                                       absl::Span<const char> data) const {
  RETURN_IF_ERROR(CheckCopy(offset_bytes, data.size(), size_bytes_));
  char* to = static_cast<char*>(address_) + offset_bytes;
  while (!data.empty()) {
    ASSIGN_OR_RETURN(
        const size_t copied,
        sys::CopyToOwnMemory(to, data.subspan(0, kCopyChunkBytes)));
    to += copied;
    data.remove_prefix(copied);
  }
  return absl::OkStatus();
}

absl::StatusOr<ReadOnlyMapping> ReadOnlyMapping::Map(
    const ObjectRef& object, const MapOptions& options) {
  ASSIGN_OR_RETURN(MappedRange range,
                   MappedRange::Map(object, options, false, false));
  ReadOnlyMapping mapping;
  static_cast<MappedRange&>(mapping) = std::move(range);
  return mapping;
}

absl::StatusOr<WritableMapping> WritableMapping::Map(
    const ObjectRef& object, const MapOptions& options) {
  ASSIGN_OR_RETURN(MappedRange range,
                   MappedRange::Map(object, options, true, false));
  WritableMapping mapping;
  static_cast<MappedRange&>(mapping) = std::move(range);
  return mapping;
}

absl::StatusOr<CopyOnWriteMapping> CopyOnWriteMapping::Map(
    const ObjectRef& object, const MapOptions& options) {
  ASSIGN_OR_RETURN(MappedRange range,
                   MappedRange::Map(object, options, true, true));
  CopyOnWriteMapping mapping;
  static_cast<MappedRange&>(mapping) = std::move(range);
  return mapping;
}

}  // namespace shmd
