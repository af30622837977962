#include "shm/memfd_backend.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "shm/mapping.h"

namespace shmd {
namespace {

constexpr uint64_t kSizeBytes = 16 * 4096;

class MemfdBackendTest : public testing::Test {
 protected:
  static SegmentOptions Options() {
    SegmentOptions options;
    options.size_bytes = kSizeBytes;
    options.page_size_bytes = 4096;
    return options;
  }

  KernelObject Create(const SegmentOptions& options) {
    absl::StatusOr<KernelObject> object = backend_.Create(options);
    EXPECT_TRUE(object.ok()) << object.status();
    return *std::move(object);
  }

  WritableMapping MapWritable(const KernelObject& object) {
    absl::StatusOr<ObjectRef> ref = backend_.Open(object, Access::kReadWrite);
    EXPECT_TRUE(ref.ok()) << ref.status();
    MapOptions options;
    options.size_bytes = kSizeBytes;
    absl::StatusOr<WritableMapping> mapping =
        WritableMapping::Map(*ref, options);
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    return *std::move(mapping);
  }

  int Seals(const KernelObject& object) {
    return fcntl(object.memfd.get(), F_GET_SEALS);
  }

  MemfdBackend backend_{0, /*identify=*/false};
};

TEST_F(MemfdBackendTest, SizeIsSealedBeforeAnybodyHasIt) {
  const KernelObject object = Create(Options());
  const int fd = object.memfd.get();
  EXPECT_NE(ftruncate(fd, 4096), 0);
  EXPECT_EQ(errno, EPERM);
  EXPECT_NE(ftruncate(fd, 2 * kSizeBytes), 0);
  EXPECT_EQ(errno, EPERM);
  struct stat found = {};
  ASSERT_EQ(fstat(fd, &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0600u);
}

TEST_F(MemfdBackendTest, FreshStatusIsThatOfTheKernel) {
  for (const bool resizable : {false, true}) {
    for (const SealPolicy policy :
         {SealPolicy::kSealable, SealPolicy::kNeverSealed}) {
      SegmentOptions options = Options();
      options.resizable = resizable;
      options.seal_policy = policy;
      const KernelObject object = Create(options);
      const auto fresh = backend_.FreshStatus(object, options);
      const auto told = backend_.Status(object, /*with_nodes=*/false);
      ASSERT_TRUE(fresh.has_value());
      ASSERT_TRUE(told.ok()) << told.status();
      EXPECT_EQ(fresh->size_bytes, told->size_bytes);
      EXPECT_EQ(fresh->page_size_bytes, told->page_size_bytes);
      EXPECT_EQ(fresh->resident_bytes, told->resident_bytes);
      EXPECT_EQ(fresh->seals, told->seals);
      EXPECT_EQ(fresh->locked_bytes, told->locked_bytes);
      EXPECT_EQ(fresh->kernel_attach_count, told->kernel_attach_count);
    }
  }
}

// One that is made when it is opened first.
class LateMemfdTest : public MemfdBackendTest {
 protected:
  static SegmentOptions LateOptions() {
    SegmentOptions options = Options();
    options.may_be_late = true;
    return options;
  }
  static ino_t InodeOf(const KernelObject& object) {
    struct stat found = {};
    EXPECT_EQ(fstat(object.memfd.get(), &found), 0);
    return found.st_ino;
  }
};

TEST_F(LateMemfdTest, IsNothingUntilItIsOpened) {
  const KernelObject object = Create(LateOptions());
  EXPECT_FALSE(object.memfd.valid());
  ASSERT_TRUE(backend_.Open(object, Access::kRead).ok());
  EXPECT_TRUE(object.memfd.valid());
  EXPECT_EQ(object.late.Get(), 0u);
}

TEST_F(LateMemfdTest, StatusIsWhatItBecomes) {
  for (const bool resizable : {false, true}) {
    SegmentOptions options = LateOptions();
    options.resizable = resizable;
    const KernelObject object = Create(options);
    const auto before = backend_.Status(object, /*with_nodes=*/false);
    ASSERT_TRUE(backend_.Open(object, Access::kRead).ok());
    const auto after = backend_.Status(object, /*with_nodes=*/false);
    ASSERT_TRUE(before.ok() && after.ok());
    EXPECT_EQ(before->size_bytes, after->size_bytes);
    EXPECT_EQ(before->page_size_bytes, after->page_size_bytes);
    EXPECT_EQ(before->resident_bytes, after->resident_bytes);
    EXPECT_EQ(before->seals, after->seals);
  }
}

TEST_F(LateMemfdTest, ThoseWhoOpenItAtOnceGetTheSameMemory) {
  for (int round = 0; round < 50; ++round) {
    const KernelObject object = Create(LateOptions());
    std::atomic<int> ready{0};
    std::array<ino_t, 4> inodes = {};
    std::vector<std::thread> threads;
    for (ino_t& inode : inodes) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 4) std::this_thread::yield();
        const auto ref = backend_.Open(object, Access::kReadWrite);
        struct stat found = {};
        if (ref.ok() && fstat(std::get<UniqueFd>(*ref).get(), &found) == 0) {
          inode = found.st_ino;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const ino_t inode : inodes) EXPECT_EQ(inode, InodeOf(object));
  }
}

TEST_F(LateMemfdTest, WhatCouldNotBeMadeLaterIsRefusedAtOnce) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = kSizeBytes - 1;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  MemfdBackend backend(0, /*identify=*/false);
  const auto too_large = backend.Create(LateOptions());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(GetErrorReason(too_large.status()), reason::kFileSizeLimitExceeded);
}

TEST_F(LateMemfdTest, AnOpenThatFailedIsTriedAgain) {
  const KernelObject object = Create(LateOptions());
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto refused = backend_.Open(object, Access::kRead);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(GetErrorReason(refused.status()), reason::kDescriptorsExhausted);
  EXPECT_TRUE(backend_.Open(object, Access::kRead).ok());
}

TEST_F(LateMemfdTest, OnlyWhatTakesNoPagesIsLate) {
  std::vector<SegmentOptions> all(3, LateOptions());
  all[0].allocation = Allocation::kReserved;
  all[1].numa.mode = NumaMode::kPreferred;
  all[1].numa.nodes = {0};
  all[2].may_be_late = false;
  for (const SegmentOptions& options : all) {
    EXPECT_FALSE(backend_.IsMadeLate(options));
    const KernelObject object = Create(options);
    EXPECT_EQ(object.late.Get(), 0u);
    EXPECT_EQ(Seals(object) & F_SEAL_SHRINK, F_SEAL_SHRINK);
  }
}

TEST_F(MemfdBackendTest, OfReservedPagesOnlyTheKernelCanTell) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kReserved;
  EXPECT_FALSE(backend_.FreshStatus(Create(options), options).has_value());
}

TEST_F(MemfdBackendTest, ResizableCannotShrink) {
  SegmentOptions options = Options();
  options.resizable = true;
  const KernelObject object = Create(options);
  EXPECT_NE(ftruncate(object.memfd.get(), 4096), 0);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(MemfdBackendTest, NeverSealedLetsNobodyAddASeal) {
  SegmentOptions options = Options();
  options.seal_policy = SealPolicy::kNeverSealed;
  const KernelObject object = Create(options);
  EXPECT_NE(fcntl(object.memfd.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  EXPECT_EQ(errno, EPERM);
  for (const SealExtent extent :
       {SealExtent::kAllWrites, SealExtent::kNewWriters}) {
    EXPECT_EQ(GetErrorReason(backend_.Seal(object, extent)),
              reason::kSealRefused);
  }
}

TEST_F(MemfdBackendTest, AReadersDescriptorCannotAddASeal) {
  const KernelObject object = Create(Options());
  const auto ref = backend_.Open(object, Access::kRead);
  ASSERT_TRUE(ref.ok());
  EXPECT_NE(fcntl(std::get<UniqueFd>(*ref).get(), F_ADD_SEALS, F_SEAL_WRITE),
            0);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(MemfdBackendTest, SealingWaitsForNobodyAndNamesTheReason) {
  const KernelObject object = Create(Options());
  {
    const WritableMapping writer = MapWritable(object);
    writer.bytes()[0] = 'w';
    const absl::Status busy = backend_.Seal(object, SealExtent::kAllWrites);
    EXPECT_EQ(GetErrorReason(busy), reason::kSegmentInUse);
    EXPECT_EQ(busy.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(Seals(object) & F_SEAL_SEAL, 0);
  }
  EXPECT_TRUE(backend_.Seal(object, SealExtent::kAllWrites).ok());
  EXPECT_TRUE(backend_.Seal(object, SealExtent::kAllWrites).ok());
  constexpr int kAll = F_SEAL_WRITE | F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
  EXPECT_EQ(Seals(object) & kAll, kAll);
  MapOptions options;
  options.size_bytes = kSizeBytes;
  const auto ref = backend_.Open(object, Access::kReadWrite);
  ASSERT_TRUE(ref.ok());
  EXPECT_EQ(GetErrorReason(WritableMapping::Map(*ref, options).status()),
            reason::kSegmentSealed);
  const auto reader = ReadOnlyMapping::Map(*ref, options);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->bytes()[0], 'w');
}

TEST_F(MemfdBackendTest, ClosingToNewWritersKeepsTheOldOne) {
  const KernelObject object = Create(Options());
  absl::StatusOr<ObjectRef> ref = backend_.Open(object, Access::kReadWrite);
  ASSERT_TRUE(ref.ok());
  MapOptions options;
  options.size_bytes = kSizeBytes;
  {
    const WritableMapping writer = MapWritable(object);
    ASSERT_TRUE(backend_.Seal(object, SealExtent::kNewWriters).ok());
    EXPECT_TRUE(backend_.Seal(object, SealExtent::kNewWriters).ok());
    writer.bytes()[3] = 'k';
    const auto reader = ReadOnlyMapping::Map(*ref, options);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(reader->bytes()[3], 'k');
    EXPECT_EQ(GetErrorReason(WritableMapping::Map(*ref, options).status()),
              reason::kSegmentSealed);
    EXPECT_LT(pwrite(std::get<UniqueFd>(*ref).get(), "x", 1, 0), 0);
  }
  // The last writer has gone: now it can be sealed for good.
  EXPECT_TRUE(backend_.Seal(object, SealExtent::kAllWrites).ok());
}

TEST_F(MemfdBackendTest, LockedPagesAreNotInTheWayOfSealing) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kReserved;
  options.populate = true;
  options.lock_in_memory = true;
  const KernelObject object = Create(options);
  EXPECT_TRUE(backend_.Seal(object, SealExtent::kAllWrites).ok());
}

TEST_F(MemfdBackendTest, GrowthKeepsPagesLocked) {
  SegmentOptions options = Options();
  options.resizable = true;
  options.allocation = Allocation::kReserved;
  options.populate = true;
  options.lock_in_memory = true;
  const KernelObject object = Create(options);
  options.size_bytes = 2 * kSizeBytes;
  ASSERT_TRUE(backend_.Resize(object, options).ok());
  const auto status = backend_.Status(object, false);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->locked_bytes, 2 * kSizeBytes);
  EXPECT_EQ(status->resident_bytes, 2 * kSizeBytes);
}

TEST_F(MemfdBackendTest, SealedAndFixedSizesStay) {
  const KernelObject fixed = Create(Options());
  SegmentOptions larger = Options();
  larger.size_bytes = 2 * kSizeBytes;
  EXPECT_EQ(GetErrorReason(backend_.Resize(fixed, larger)),
            reason::kNotResizable);
  SegmentOptions options = Options();
  options.resizable = true;
  const KernelObject sealed = Create(options);
  ASSERT_TRUE(backend_.Seal(sealed, SealExtent::kAllWrites).ok());
  EXPECT_EQ(GetErrorReason(backend_.Resize(sealed, larger)),
            reason::kSegmentSealed);
}

TEST_F(MemfdBackendTest, ItsMemoryCannotBeExecuted) {
  const KernelObject object = Create(Options());
  // MFD_NOEXEC_SEAL, or the mode where the kernel is older.
  EXPECT_NE(
      fchmod(object.memfd.get(), 0700) == 0 && (Seals(object) & 0x0020) != 0,
      true);
}

}  // namespace
}  // namespace shmd
