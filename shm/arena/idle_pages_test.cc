#include "shm/arena/idle_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kAll = ~uint64_t{0};

// An arena's memory, and what the kernel has of it.
class MappedMemory {
 public:
  explicit MappedMemory(uint64_t size_bytes)
      : size_bytes_(size_bytes),
        fd_(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    if (ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) std::abort();
    data_ = static_cast<char*>(mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                                    MAP_SHARED, fd_.get(), 0));
    if (data_ == MAP_FAILED) std::abort();
  }
  MappedMemory(const MappedMemory&) = delete;
  ~MappedMemory() { munmap(data_, size_bytes_); }

  char* data() const { return data_; }
  int fd() const { return fd_.get(); }
  uint64_t ResidentBytes() const {
    struct stat status = {};
    if (fstat(fd_.get(), &status) != 0) std::abort();
    return static_cast<uint64_t>(status.st_blocks) * 512;
  }

 private:
  const uint64_t size_bytes_;
  const UniqueFd fd_;
  char* data_ = nullptr;
};

TEST(IdlePagesTest, MemoryFallsWhenIdleAndNotBefore) {
  const MappedMemory memory(4 * kMiB);
  ExtentAllocator extents(4 * kMiB);
  const Extent extent = *extents.Allocate(kMiB);
  std::memset(memory.data() + extent.offset_bytes, 'x', kMiB);
  EXPECT_EQ(memory.ResidentBytes(), kMiB);
  extents.Free(extent.offset_bytes, 1000);
  EXPECT_EQ(
      *GiveBackIdlePages(extents, memory.data(), {kPage, kAll, 1099, 100}), 0u);
  EXPECT_EQ(memory.ResidentBytes(), kMiB);
  // Until then it is used again as it is.
  EXPECT_EQ(extents.Allocate(kMiB)->offset_bytes, extent.offset_bytes);
  EXPECT_EQ(memory.data()[extent.offset_bytes], 'x');
  extents.Free(extent.offset_bytes, 2000);
  EXPECT_EQ(
      *GiveBackIdlePages(extents, memory.data(), {kPage, kAll, 2100, 100}),
      kMiB);
  EXPECT_EQ(memory.ResidentBytes(), 0u);
  EXPECT_EQ(memory.data()[extent.offset_bytes], 0);
}

TEST(IdlePagesTest, NeighboursInTheSamePageStay) {
  const MappedMemory memory(kMiB);
  ExtentAllocator extents(kMiB);
  const Extent before = *extents.Allocate(100);
  const Extent middle = *extents.Allocate(10 * kPage);
  const Extent behind = *extents.Allocate(100);
  std::memset(memory.data(), 'x', 11 * kPage);
  extents.Free(middle);
  EXPECT_EQ(*GiveBackIdlePages(extents, memory.data(), {kPage, kAll, 0, 0}),
            9 * kPage);
  EXPECT_EQ(memory.ResidentBytes(), 2 * kPage);
  for (const Extent& one : {before, behind}) {
    for (uint64_t i = 0; i < one.size_bytes; ++i) {
      ASSERT_EQ(memory.data()[one.offset_bytes + i], 'x');
    }
  }
}

TEST(IdlePagesTest, SealedMemoryIsLeftAsItIs) {
  const MappedMemory memory(kMiB);
  ExtentAllocator extents(kMiB);
  const Extent extent = *extents.Allocate(kMiB);
  memory.data()[0] = 'x';
  extents.Free(extent);
  // While it is mapped to be written, only this seal can be had.
  ASSERT_EQ(fcntl(memory.fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  const auto given =
      GiveBackIdlePages(extents, memory.data(), {kPage, kAll, 0, 0});
  EXPECT_EQ(GetErrorReason(given.status()), reason::kSegmentSealed);
  EXPECT_EQ(memory.data()[0], 'x');
}

// Extents come and go, each filled with bytes of its own; whatever is given
// back, those that live keep theirs, and what is in memory is theirs and what
// was freed since.
TEST(IdlePagesTest, WhatLivesKeepsItsBytes) {
  constexpr uint64_t kArena = 64 * kMiB;
  const MappedMemory memory(kArena);
  ExtentAllocator extents(kArena);
  std::mt19937_64 random(20261122);
  struct Live {
    uint64_t size_bytes;
    uint64_t pattern;
  };
  std::map<uint64_t, Live> live;
  const auto check = [&](uint64_t offset, const Live& one) {
    const auto* const words =
        reinterpret_cast<const uint64_t*>(memory.data() + offset);
    for (uint64_t i = 0; i < one.size_bytes / 8; ++i) {
      if (words[i] != one.pattern + i) return false;
    }
    return true;
  };
  uint64_t given_bytes = 0;
  for (uint32_t moment = 0; moment < 60000; ++moment) {
    const bool filling = (moment / 5000) % 2 == 0;
    if (random() % 8 < (filling ? 5 : 3)) {
      const auto extent =
          extents.Allocate(random() % (uint64_t{1} << (random() % 18)));
      if (!extent.has_value()) continue;
      const Live one = {extent->size_bytes, random()};
      auto* const words =
          reinterpret_cast<uint64_t*>(memory.data() + extent->offset_bytes);
      for (uint64_t i = 0; i < one.size_bytes / 8; ++i) {
        words[i] = one.pattern + i;
      }
      live[extent->offset_bytes] = one;
    } else if (!live.empty()) {
      auto found = live.lower_bound(random() % kArena);
      if (found == live.end()) found = live.begin();
      ASSERT_TRUE(check(found->first, found->second));
      ASSERT_TRUE(extents.Free(found->first, moment));
      live.erase(found);
    }
    if (moment % 500 == 499) {
      ExtentAllocator::IdleQuery query;
      query.min_bytes = random() % (4 * kPage);
      query.max_bytes = random() % (8 * kMiB);
      query.moment = moment;
      query.age = static_cast<uint32_t>(random() % 3 * 400);
      const auto given = GiveBackIdlePages(extents, memory.data(), query);
      ASSERT_TRUE(given.ok()) << given.status();
      given_bytes += *given;
    }
  }
  for (const auto& [offset, one] : live) ASSERT_TRUE(check(offset, one));
  EXPECT_GT(given_bytes, kArena);
  ASSERT_TRUE(GiveBackIdlePages(extents, memory.data(), {}).ok());
  // Whole pages: of each that lives, two may hold something else too.
  uint64_t most_bytes = 0;
  for (const auto& [offset, one] : live)
    most_bytes += one.size_bytes + 2 * kPage;
  EXPECT_LE(memory.ResidentBytes(), most_bytes);
}

}  // namespace
}  // namespace shmd
