#ifndef SHMD_SHM_MAPPING_H_
#define SHMD_SHM_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "shm/kernel_object.h"

namespace shmd {

// How a range of an object is mapped.
struct MapOptions {
  uint64_t size_bytes = 0;         // of the whole object; checked against fstat
  uint64_t page_size_bytes = 0;    // 0: the base page
  uint64_t offset_bytes = 0;       // of the range; need not be at a page
  uint64_t length_bytes = 0;       // of the range; 0: to the end
  bool populate = false;           // fault all pages in now
  bool lock_in_memory = false;     // mlock(2)
  bool advise_huge_pages = false;  // MADV_HUGEPAGE; a wish, never an error
  // Where to map; nullptr: anywhere. A range that is in use there is never
  // replaced: ADDRESS_IN_USE (FAILED_PRECONDITION).
  void* fixed_address = nullptr;
};

// An address range that maps shared memory, and unmaps it at its end. Base of
// the three below, which differ in what the kernel allows. Move-only; the
// bytes are as safe between threads as the programs make them; the object
// itself is not thread-safe. Outlives whatever it was mapped from.
class MappedRange {
 public:
  MappedRange() = default;
  MappedRange(MappedRange&& other) noexcept { Swap(other); }
  MappedRange& operator=(MappedRange&& other) noexcept {
    MappedRange old(std::move(*this));
    Swap(other);
    return *this;
  }
  ~MappedRange();

  // Bytes of the range that was asked for.
  size_t size_bytes() const { return size_bytes_; }

 protected:
  enum class Kind { kNone, kMmap, kShmat };

  // Maps the object; `private_copy` is MAP_PRIVATE.
  static absl::StatusOr<MappedRange> Map(const ObjectRef& object,
                                         const MapOptions& options,
                                         bool writable, bool private_copy);

  void* address() const { return address_; }

  // Copies out without ever raising SIGBUS (process_vm_readv(2) on ourselves):
  // SEGMENT_TRUNCATED (DATA_LOSS) when the pages are gone.
  absl::Status GuardedRead(uint64_t offset_bytes, absl::Span<char> out) const;
  absl::Status GuardedWrite(uint64_t offset_bytes,
                            absl::Span<const char> data) const;

 private:
  void Swap(MappedRange& other);

  Kind kind_ = Kind::kNone;
  void* base_ = nullptr;  // what the kernel gave
  size_t base_bytes_ = 0;
  void* address_ = nullptr;  // start of the range, at or behind base_
  size_t size_bytes_ = 0;
};

// Shared memory that the kernel lets this program only read. mprotect(2)
// cannot change that when it came from an O_RDONLY descriptor.
class ReadOnlyMapping : public MappedRange {
 public:
  ReadOnlyMapping() = default;

  static absl::StatusOr<ReadOnlyMapping> Map(const ObjectRef& object,
                                             const MapOptions& options);

  const void* data() const { return address(); }
  absl::Span<const char> bytes() const {
    return {static_cast<const char*>(address()), size_bytes()};
  }

  // The range as whole `T`s; a rest is left out. T has no pointers that mean
  // anything in another program: offsets, never pointers.
  template <typename T>
  absl::Span<const T> As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    // SAFETY: trivially copyable, and Map has refused a range whose start is
    // not aligned for any fundamental type.
    return {static_cast<const T*>(address()), size_bytes() / sizeof(T)};
  }

  // As MappedRange::GuardedRead: for objects that others can truncate (posix,
  // mapped_file).
  absl::Status Read(uint64_t offset_bytes, absl::Span<char> out) const {
    return GuardedRead(offset_bytes, out);
  }
};

// Shared memory that this program may write.
class WritableMapping : public MappedRange {
 public:
  WritableMapping() = default;

  static absl::StatusOr<WritableMapping> Map(const ObjectRef& object,
                                             const MapOptions& options);

  void* data() const { return address(); }
  absl::Span<char> bytes() const {
    return {static_cast<char*>(address()), size_bytes()};
  }

  template <typename T>
  absl::Span<T> As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    // SAFETY: as in ReadOnlyMapping.
    return {static_cast<T*>(address()), size_bytes() / sizeof(T)};
  }

  absl::Status Read(uint64_t offset_bytes, absl::Span<char> out) const {
    return GuardedRead(offset_bytes, out);
  }
  absl::Status Write(uint64_t offset_bytes, absl::Span<const char> data) const {
    return GuardedWrite(offset_bytes, data);
  }
};

// A private view: starts as the shared content, and what is written stays with
// this mapping. Needs read access only. Not for SysV, whose shmat(2) has no
// such mode: BACKEND_UNSUPPORTED (UNIMPLEMENTED).
class CopyOnWriteMapping : public MappedRange {
 public:
  CopyOnWriteMapping() = default;

  static absl::StatusOr<CopyOnWriteMapping> Map(const ObjectRef& object,
                                                const MapOptions& options);

  void* data() const { return address(); }
  absl::Span<char> bytes() const {
    return {static_cast<char*>(address()), size_bytes()};
  }

  template <typename T>
  absl::Span<T> As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    // SAFETY: as in ReadOnlyMapping.
    return {static_cast<T*>(address()), size_bytes() / sizeof(T)};
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_MAPPING_H_
