#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/config.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "tests/conformance/backend_conformance.h"

namespace shmd {
namespace {

// VmLck of /proc/self/status.
uint64_t LockedBytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmLck:", 0) == 0) return std::stoull(line.substr(6)) * 1024;
  }
  ADD_FAILURE() << "no VmLck";
  return 0;
}

// Whether the mapping that begins at `address` has a flag of VmFlags
// (/proc/self/smaps).
bool HasFlag(const void* address, const std::string& flag) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool found = false;
  while (std::getline(maps, line)) {
    uintptr_t begin = 0;
    if (sscanf(line.c_str(), "%" SCNxPTR "-", &begin) == 1 &&
        line.find(':') > line.find('-')) {
      found = begin == reinterpret_cast<uintptr_t>(address);
    }
    if (found && line.rfind("VmFlags:", 0) == 0) {
      return line.find(" " + flag + " ") != std::string::npos;
    }
  }
  ADD_FAILURE() << "no such mapping";
  return false;
}

TEST_P(BackendConformance, AReaderCannotMakeItsMappingWritable) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto reader = MapReadOnly(*object, Whole(options));
  SHMD_ASSERT_OK(reader);
  void* const page = const_cast<void*>(reader->data());
  errno = 0;
  EXPECT_NE(mprotect(page, options.page_size_bytes, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(errno, EACCES);
}

TEST_P(BackendConformance, AReadersDescriptorMapsForReadingOnly) {
  if (!IsDescriptor()) return;
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto ref = backend().Open(*object, Access::kRead);
  SHMD_ASSERT_OK(ref);
  const int fd = std::get<UniqueFd>(*ref).get();
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  SHMD_EXPECT_REASON(WritableMapping::Map(*ref, Whole(options)),
                     reason::kCallerNotAllowed);
}

TEST_P(BackendConformance, AFixedAddressNeverReplaces) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  auto first = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(first);
  first->bytes()[0] = 'f';
  MapOptions fixed = Whole(options);
  fixed.fixed_address = first->data();
  SHMD_EXPECT_REASON(MapWritable(*object, fixed), reason::kAddressInUse);
  SHMD_EXPECT_REASON(MapReadOnly(*object, fixed), reason::kAddressInUse);
  EXPECT_EQ(first->bytes()[0], 'f');

  // Free again, it is taken.
  *first = WritableMapping();
  const auto second = MapWritable(*object, fixed);
  SHMD_ASSERT_OK(second);
  EXPECT_EQ(second->data(), fixed.fixed_address);
  EXPECT_EQ(second->bytes()[0], 'f');
}

TEST_P(BackendConformance, AFixedAddressHoldsTheRangesPage) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  auto whole = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(whole);
  whole->bytes()[options.page_size_bytes + 32] = 'r';
  MapOptions range = Whole(options);
  range.offset_bytes = options.page_size_bytes + 32;
  range.fixed_address = &whole->bytes()[options.page_size_bytes];
  *whole = WritableMapping();
  const auto mapped = MapReadOnly(*object, range);
  SHMD_ASSERT_OK(mapped);
  EXPECT_EQ(mapped->data(), static_cast<char*>(range.fixed_address) + 32);
  EXPECT_EQ(mapped->bytes()[0], 'r');
}

TEST_P(BackendConformance, APrivateCopyStaysPrivate) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto shared = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(shared);
  shared->bytes()[1] = 's';
  const auto ref = backend().Open(*object, Access::kRead);
  SHMD_ASSERT_OK(ref);
  const auto copy = CopyOnWriteMapping::Map(*ref, Whole(options));
  if (!IsDescriptor()) {
    SHMD_EXPECT_REASON(copy, reason::kBackendUnsupported);
    return;
  }
  // A private huge page comes from the pool, which may have no more.
  if (IsHuge() && !copy.ok()) return;
  SHMD_ASSERT_OK(copy);
  EXPECT_EQ(copy->bytes()[1], 's');
  if (IsHuge()) return;
  copy->bytes()[1] = 'p';
  EXPECT_EQ(shared->bytes()[1], 's');
  EXPECT_EQ(copy->bytes()[1], 'p');
}

TEST_P(BackendConformance, PopulateAndLockReachTheWholeRange) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kLazy;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  MapOptions wish = Whole(options);
  wish.populate = true;
  const auto writer = MapWritable(*object, wish);
  SHMD_ASSERT_OK(writer);
  const auto status = backend().Status(*object, false);
  SHMD_ASSERT_OK(status);
  EXPECT_GE(status->resident_bytes, options.size_bytes);

  const uint64_t before = LockedBytes();
  wish.lock_in_memory = true;
  const auto reader = MapReadOnly(*object, wish);
  SHMD_ASSERT_OK(reader);
#if !defined(ABSL_HAVE_ADDRESS_SANITIZER) && \
    !defined(                                \
        ABSL_HAVE_THREAD_SANITIZER)  // which keep mlock(2) from the kernel
  // Huge pages are never swapped, and not counted as locked.
  EXPECT_EQ(LockedBytes() - before, IsHuge() ? 0 : options.size_bytes);
#else
  EXPECT_EQ(LockedBytes(), before);
#endif
}

TEST_P(BackendConformance, AMappingHasTheAdviceThatItWasMadeWith) {
  if (IsHuge()) return;
  const SegmentOptions options = Options();
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  for (const bool wanted : {false, true}) {
    MapOptions wish = Whole(options);
    wish.advise_huge_pages = wanted;
    const auto mapped = MapWritable(*object, wish);
    SHMD_ASSERT_OK(mapped);
    EXPECT_EQ(HasFlag(mapped->data(), "hg"), wanted);
  }
}

TEST_P(BackendConformance, ASmallerObjectIsNotMapped) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  MapOptions larger = Whole(options);
  larger.size_bytes += options.page_size_bytes;
  SHMD_EXPECT_REASON(MapReadOnly(*object, larger), reason::kSegmentTruncated);
  SHMD_EXPECT_REASON(MapWritable(*object, larger), reason::kSegmentTruncated);
}

TEST_P(BackendConformance, GuardedAccessSurvivesTruncationByOthers) {
  const SegmentOptions options = Options();
  if (!IsDescriptor()) return;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto writer = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(writer);
  const std::vector<char> data(100, 'g');
  const uint64_t at = options.page_size_bytes + 50;
  SHMD_ASSERT_OK(writer->Write(at, data));
  std::vector<char> got(100);
  SHMD_ASSERT_OK(writer->Read(at, absl::MakeSpan(got)));
  EXPECT_EQ(got, data);

  const auto ref = backend().Open(*object, Access::kReadWrite);
  SHMD_ASSERT_OK(ref);
  const int cut = ftruncate(std::get<UniqueFd>(*ref).get(), 0);
  if (kind() == BackendKind::kMemfd) {
    EXPECT_NE(cut, 0) << "a writer can make readers crash";
    SHMD_EXPECT_OK(writer->Read(at, absl::MakeSpan(got)));
    return;
  }
  ASSERT_EQ(cut, 0);
  SHMD_EXPECT_REASON(writer->Read(at, absl::MakeSpan(got)),
                     reason::kSegmentTruncated);
  SHMD_EXPECT_REASON(writer->Write(at, data), reason::kSegmentTruncated);
}

TEST_P(BackendConformance, GuardedAccessStaysWithinTheRange) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto writer = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(writer);
  std::vector<char> two(2);
  SHMD_EXPECT_OK(writer->Read(options.size_bytes - 2, absl::MakeSpan(two)));
  SHMD_EXPECT_OK(writer->Read(options.size_bytes, {}));
  for (const uint64_t offset : {options.size_bytes - 1, options.size_bytes,
                                options.size_bytes + 1, ~uint64_t{0}}) {
    SHMD_EXPECT_REASON(writer->Read(offset, absl::MakeSpan(two)),
                       reason::kRangeOutsideSegment);
    SHMD_EXPECT_REASON(writer->Write(offset, two),
                       reason::kRangeOutsideSegment);
  }
}

TEST_P(BackendConformance, RangeEdges) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const uint64_t size = options.size_bytes;
  const std::vector<uint64_t> edges = {0,
                                       1,
                                       16,
                                       4095,
                                       4096,
                                       size - 16,
                                       size - 1,
                                       size,
                                       size + 1,
                                       uint64_t{1} << 31,
                                       uint64_t{1} << 32,
                                       (uint64_t{1} << 63) - 1,
                                       uint64_t{1} << 63,
                                       ~uint64_t{0}};
  for (const uint64_t offset : edges) {
    for (const uint64_t length : edges) {
      MapOptions range = Whole(options);
      range.offset_bytes = offset;
      range.length_bytes = length;
      const auto mapped = MapReadOnly(*object, range);
      // With 128 bits no sum wraps.
      const bool inside =
          offset < size &&
          static_cast<unsigned __int128>(offset) + length <= size;
      if (!inside) {
        SHMD_EXPECT_REASON(mapped, reason::kRangeOutsideSegment);
      } else if (offset % 16 != 0) {
        SHMD_EXPECT_REASON(mapped, reason::kFieldInvalid);
      } else {
        SHMD_ASSERT_OK(mapped);
        EXPECT_EQ(mapped->size_bytes(), length == 0 ? size - offset : length);
      }
    }
  }
}

TEST_P(BackendConformance, SizesAndPagesThatCannotBeAreRefused) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  for (const uint64_t size : {uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0}}) {
    MapOptions bad = Whole(options);
    bad.size_bytes = size;
    SHMD_EXPECT_REASON(MapReadOnly(*object, bad), reason::kSizeInvalid);
  }
  for (const uint64_t page : {uint64_t{1}, uint64_t{2048}, uint64_t{12288},
                              uint64_t{1} << 63, ~uint64_t{0}}) {
    MapOptions bad = Whole(options);
    bad.page_size_bytes = page;
    SHMD_EXPECT_REASON(MapReadOnly(*object, bad), reason::kPageSizeMismatch);
  }
  MapOptions bad = Whole(options);
  bad.fixed_address = reinterpret_cast<void*>(uintptr_t{0x10000001});
  SHMD_EXPECT_REASON(MapReadOnly(*object, bad), reason::kFieldInvalid);
}

TEST_P(BackendConformance, AMappingMovesAndEndsOnce) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  auto mapped = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(mapped);
  WritableMapping first = *std::move(mapped);
  void* const address = first.data();
  WritableMapping second(std::move(first));
  EXPECT_EQ(first.size_bytes(), 0u);
  EXPECT_EQ(second.data(), address);
  first = std::move(second);
  EXPECT_EQ(second.data(), nullptr);
  EXPECT_EQ(first.As<uint64_t>().size(), options.size_bytes / 8);
  first.As<uint64_t>()[1] = 7;
  EXPECT_EQ(first.bytes()[8], 7);
}

}  // namespace
}  // namespace shmd
