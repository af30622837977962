#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "shm/sys/numa.h"
#include "tests/conformance/backend_conformance.h"

namespace shmd {
namespace {

TEST_P(BackendConformance, WhatIsWrittenIsReadThroughAnotherOpen) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto writer = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(writer);
  const auto reader = MapReadOnly(*object, Whole(options));
  SHMD_ASSERT_OK(reader);
  ASSERT_EQ(reader->size_bytes(), options.size_bytes);
  EXPECT_NE(static_cast<const void*>(writer->data()), reader->data());
  EXPECT_EQ(reader->bytes()[0], 0);
  EXPECT_EQ(reader->bytes().back(), 0);
  memset(writer->data(), 'x', writer->size_bytes());
  EXPECT_EQ(reader->bytes()[0], 'x');
  EXPECT_EQ(reader->bytes().back(), 'x');
}

TEST_P(BackendConformance, StatusTellsWhatWasMade) {
  SegmentOptions options = Options();
  options.mode = 0640;
  options.allocation = Allocation::kReserved;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto status = backend().Status(*object, true);
  SHMD_ASSERT_OK(status);
  EXPECT_EQ(status->size_bytes, options.size_bytes);
  EXPECT_EQ(status->page_size_bytes, options.page_size_bytes);
  EXPECT_GE(status->resident_bytes, options.size_bytes);
  EXPECT_EQ(status->kernel_attach_count.has_value(), !IsDescriptor());
  // A memfd's inode is the daemon's, whatever the segment's mode is.
  EXPECT_EQ(status->mode, HasName() ? 0640u : 0600u);
  EXPECT_EQ(status->owner, options.owner);
}

TEST_P(BackendConformance, TheKernelsAttachCountFollowsTheMappings) {
  if (IsDescriptor()) return;
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto count = [&] {
    return backend().Status(*object, false)->kernel_attach_count;
  };
  EXPECT_EQ(count(), 0u);
  const auto first = MapReadOnly(*object, Whole(options));
  SHMD_ASSERT_OK(first);
  {
    const auto second = MapWritable(*object, Whole(options));
    SHMD_ASSERT_OK(second);
    EXPECT_EQ(count(), 2u);
  }
  EXPECT_EQ(count(), 1u);
}

TEST_P(BackendConformance, PopulatedPagesAreOnTheNodes) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kReserved;
  options.populate = true;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto status = backend().Status(*object, true);
  SHMD_ASSERT_OK(status);
  uint64_t pages = 0;
  for (const NodePages& node : status->node_pages) pages += node.pages;
  EXPECT_EQ(pages, options.size_bytes / options.page_size_bytes);
}

TEST_P(BackendConformance, LookingAtNodesMakesNoPageResident) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kLazy;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  {
    const auto writer = MapWritable(*object, Whole(options));
    SHMD_ASSERT_OK(writer);
    writer->bytes()[options.page_size_bytes] = 1;
  }
  SHMD_ASSERT_OK(backend().Status(*object, true));
  const auto status = backend().Status(*object, true);
  SHMD_ASSERT_OK(status);
  EXPECT_EQ(status->resident_bytes, options.page_size_bytes);
  ASSERT_EQ(status->node_pages.size(), 1u);
  // The page cache of storage reads ahead.
  if (kind() == BackendKind::kMappedFile && !IsHuge()) return;
  EXPECT_EQ(status->node_pages[0].pages, 1u);
}

TEST_P(BackendConformance, LockedPagesAreCountedAndUnlockedWithTheObject) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kReserved;
  options.populate = true;
  options.lock_in_memory = true;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto status = backend().Status(*object, false);
  SHMD_ASSERT_OK(status);
  // Huge pages are never swapped: SHM_LOCK ignores them without a word.
  const bool ignored = kind() == BackendKind::kSysv && IsHuge();
  EXPECT_EQ(status->locked_bytes, ignored ? 0 : options.size_bytes);
}

TEST_P(BackendConformance, UmaskDoesNotChangeModes) {
  for (const mode_t mask : {0000, 0077}) {
    SegmentOptions options = Options();
    options.mode = 0664;
    if (RefusedForLackOfPages(options)) return;
    const mode_t old = umask(mask);
    const ScopedObject object(backend(), backend().Create(options));
    umask(old);
    SHMD_ASSERT_OK(object);
    const auto status = backend().Status(*object, false);
    SHMD_ASSERT_OK(status);
    EXPECT_EQ(status->mode, HasName() ? 0664u : 0600u);
  }
}

TEST_P(BackendConformance, SetOwnershipChangesTheMode) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  SHMD_ASSERT_OK(
      backend().SetOwnership(*object, 0444, options.owner, options.group));
  const auto status = backend().Status(*object, false);
  SHMD_ASSERT_OK(status);
  EXPECT_EQ(status->mode, HasName() ? 0444u : 0600u);
}

TEST_P(BackendConformance, ATakenNameIsRefusedAndItsObjectUnharmed) {
  SegmentOptions options = Options();
  if (kind() == BackendKind::kMemfd) return;
  // Some number of this test's own; 0 would be IPC_PRIVATE.
  options.sysv_key =
      static_cast<uint32_t>(std::hash<std::string>()(Token()) | 1);
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject first(backend(), backend().Create(options));
  SHMD_ASSERT_OK(first);
  SegmentOptions other = options;
  other.mode = 0666;
  const auto second = backend().Create(other);
  if (!IsHuge()) {
    SHMD_EXPECT_REASON(second, reason::kObjectExists);
  }
  EXPECT_FALSE(second.ok());
  const auto status = backend().Status(*first, false);
  SHMD_ASSERT_OK(status);
  EXPECT_EQ(status->mode, 0600u);
}

TEST_P(BackendConformance, MemoryThatIsNotThereIsRefusedWithNumbers) {
  SegmentOptions options = Options();
  options.allocation = Allocation::kReserved;
  options.size_bytes = uint64_t{1} << 45;
  const absl::Status refused = StatusOf(backend().Create(options));
  EXPECT_EQ(refused.code(),
            IsHuge() && GetErrorReason(refused) == reason::kPageSizeMismatch
                ? absl::StatusCode::kInvalidArgument
                : absl::StatusCode::kResourceExhausted)
      << refused;
  if (refused.code() == absl::StatusCode::kResourceExhausted) {
    const auto metadata = GetErrorDetail(refused).metadata;
    for (const char* key : {"requested", "available", "unit", "limit"}) {
      EXPECT_EQ(metadata.count(key), 1u) << key;
    }
  }
  ExpectLedgerUnchanged();
}

TEST_P(BackendConformance, ANodeThatIsNotThereIsRefusedWithoutALeak) {
  SegmentOptions options = Options();
  options.numa.mode = NumaMode::kBind;
  options.numa.nodes = {1000};
  if (RefusedForLackOfPages(options)) return;
  const auto refused = backend().Create(options);
  EXPECT_FALSE(refused.ok());
  const std::string reason = GetErrorReason(refused.status());
  // Storage knows no nodes.
  EXPECT_TRUE(reason == reason::kFieldInvalid ||
              (kind() == BackendKind::kMappedFile &&
               reason == reason::kBackendUnsupported))
      << refused.status();
  ExpectLedgerUnchanged();
}

TEST_P(BackendConformance, NumaPoliciesOfNodeZeroAreTaken) {
  if (kind() == BackendKind::kMappedFile && !IsHuge()) {
    SegmentOptions options = Options();
    options.numa = {NumaMode::kBind, {0}};
    const auto refused = backend().Create(options);
    EXPECT_TRUE(refused.ok() || GetErrorReason(refused.status()) ==
                                    reason::kBackendUnsupported);
    if (refused.ok()) {
      SHMD_EXPECT_OK(backend().Remove(*refused));
    }
    return;
  }
  for (const NumaMode mode :
       {NumaMode::kBind, NumaMode::kInterleave, NumaMode::kPreferred}) {
    SegmentOptions options = Options();
    options.numa = {mode, {0}};
    options.allocation = Allocation::kReserved;
    options.populate = true;
    if (RefusedForLackOfPages(options)) return;
    const ScopedObject object(backend(), backend().Create(options));
    SHMD_ASSERT_OK(object);
    const auto status = backend().Status(*object, true);
    SHMD_ASSERT_OK(status);
    ASSERT_EQ(status->node_pages.size(), 1u);
    EXPECT_EQ(status->node_pages[0].node, 0u);
    // Where there is one node, its pages say nothing. The kernel keeps no
    // policy of huge pages.
    if (IsHuge()) continue;
    const auto mapped = MapWritable(*object, Whole(options));
    SHMD_ASSERT_OK(mapped);
    const auto policy = sys::GetPolicy(mapped->data());
    SHMD_ASSERT_OK(policy);
    EXPECT_EQ(policy->mode, mode);
    EXPECT_EQ(policy->nodes, options.numa.nodes);
  }
}

TEST_P(BackendConformance, HugePagesOfAPolicyAreThereAtOnce) {
  if (!IsHuge()) return;
  SegmentOptions options = Options();
  options.numa = {NumaMode::kInterleave, {0}};
  options.allocation = Allocation::kLazy;
  options.resizable = kind() != BackendKind::kSysv;
  SegmentOptions grown = options;
  if (options.resizable) options.size_bytes /= 2;
  if (RefusedForLackOfPages(grown)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  EXPECT_EQ(backend().Status(*object, false)->resident_bytes,
            options.size_bytes);
  if (!options.resizable) return;
  SHMD_ASSERT_OK(backend().Resize(*object, grown));
  EXPECT_EQ(backend().Status(*object, false)->resident_bytes, grown.size_bytes);
}

TEST_P(BackendConformance, AMappingOutlivesItsRemovedObject) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  absl::StatusOr<WritableMapping> writer;
  {
    const ScopedObject object(backend(), backend().Create(options));
    SHMD_ASSERT_OK(object);
    writer = MapWritable(*object, Whole(options));
    SHMD_ASSERT_OK(writer);
    SHMD_ASSERT_OK(backend().Remove(*object));
    SHMD_EXPECT_OK(backend().Remove(*object));
    if (HasName()) {
      SHMD_EXPECT_REASON(backend().Open(*object, Access::kRead),
                         reason::kObjectReplaced);
      const auto again =
          backend().Reopen(object->name, options.page_size_bytes);
      SHMD_EXPECT_REASON(again, reason::kObjectNotFound);
    }
  }
  writer->bytes().back() = 'y';
  EXPECT_EQ(writer->bytes().back(), 'y');
}

TEST_P(BackendConformance, ReopenFindsTheSameObject) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto again = backend().Reopen(object->name, options.page_size_bytes);
  if (!HasName()) {
    SHMD_EXPECT_REASON(again, reason::kObjectNotFound);
    return;
  }
  SHMD_ASSERT_OK(again);
  const auto writer = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(writer);
  writer->bytes()[7] = 'z';
  const auto reader = MapReadOnly(*again, Whole(options));
  SHMD_ASSERT_OK(reader);
  EXPECT_EQ(reader->bytes()[7], 'z');
  EXPECT_EQ(again->page_size_bytes, options.page_size_bytes);
}

TEST_P(BackendConformance, ANameThatWasReplacedIsLeftAlone) {
  SegmentOptions options = Options();
  if (!HasName()) return;
  options.sysv_key =
      static_cast<uint32_t>(std::hash<std::string>()(Token()) | 1);
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject first(backend(), backend().Create(options));
  SHMD_ASSERT_OK(first);
  // Keeps the first inode's number from being used again.
  auto held = backend().Open(*first, Access::kRead);
  SHMD_ASSERT_OK(held);
  SHMD_ASSERT_OK(backend().Remove(*first));
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject second(backend(), backend().Create(options));
  SHMD_ASSERT_OK(second);
  SHMD_EXPECT_REASON(backend().Reopen(first->name, options.page_size_bytes),
                     reason::kObjectReplaced);
  SHMD_EXPECT_REASON(backend().Open(*first, Access::kRead),
                     reason::kObjectReplaced);
  SHMD_EXPECT_REASON(backend().Status(*first, false), reason::kObjectReplaced);
  SHMD_EXPECT_OK(backend().Remove(*first));
  SHMD_EXPECT_OK(backend().Open(*second, Access::kRead));
}

TEST_P(BackendConformance, AdoptionLeavesTheObjectUnharmed) {
  SegmentOptions options = Options();
  options.mode = 0644;
  AdoptOptions adopt;
  adopt.backend = kind();
  adopt.posix_name = options.posix_name;
  adopt.file_path = options.file_path;
  if (!HasName()) {
    SHMD_EXPECT_REASON(backend().Adopt(adopt), reason::kBackendUnsupported);
    return;
  }
  options.sysv_key = adopt.sysv_key =
      static_cast<uint32_t>(std::hash<std::string>()(Token()) | 1);
  SHMD_EXPECT_REASON(backend().Adopt(adopt), reason::kObjectNotFound);
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto before = backend().Status(*object, false);
  SHMD_ASSERT_OK(before);
  const auto adopted = backend().Adopt(adopt);
  SHMD_ASSERT_OK(adopted);
  EXPECT_EQ(adopted->page_size_bytes, options.page_size_bytes);
  EXPECT_EQ(adopted->name.inode, object->name.inode);
  const auto after = backend().Status(*adopted, false);
  SHMD_ASSERT_OK(after);
  EXPECT_EQ(after->size_bytes, before->size_bytes);
  EXPECT_EQ(after->mode, before->mode);
  EXPECT_EQ(after->resident_bytes, before->resident_bytes);
}

TEST_P(BackendConformance, ResizableGrowsAndKeepsItsContent) {
  SegmentOptions options = Options();
  options.resizable = true;
  options.size_bytes = options.page_size_bytes;
  if (kind() == BackendKind::kSysv) {
    SHMD_EXPECT_REASON(backend().Create(options), reason::kBackendUnsupported);
    return;
  }
  SegmentOptions grown = options;
  grown.size_bytes = 2 * options.page_size_bytes;
  if (RefusedForLackOfPages(grown)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const auto before = MapWritable(*object, Whole(options));
  SHMD_ASSERT_OK(before);
  before->bytes()[0] = 'a';
  grown.allocation = Allocation::kReserved;
  SHMD_ASSERT_OK(backend().Resize(*object, grown));
  const auto after = MapWritable(*object, Whole(grown));
  SHMD_ASSERT_OK(after);
  EXPECT_EQ(after->bytes()[0], 'a');
  EXPECT_EQ(after->bytes().back(), 0);
  const absl::Status shrunk = backend().Resize(*object, options);
  if (kind() == BackendKind::kMemfd) {
    SHMD_EXPECT_REASON(shrunk, reason::kNotResizable);
  } else {
    SHMD_EXPECT_OK(shrunk);
  }
}

TEST_P(BackendConformance, AGrowthThatFailsChangesNothing) {
  SegmentOptions options = Options();
  options.resizable = kind() != BackendKind::kSysv;
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  SegmentOptions grown = options;
  grown.size_bytes = uint64_t{1} << 45;
  grown.allocation = Allocation::kReserved;
  EXPECT_FALSE(backend().Resize(*object, grown).ok());
  const auto status = backend().Status(*object, false);
  SHMD_ASSERT_OK(status);
  EXPECT_EQ(status->size_bytes, options.size_bytes);
  EXPECT_LE(status->resident_bytes, options.size_bytes);
}

TEST_P(BackendConformance, OnlyMemfdCanBeSealed) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  const absl::Status sealed = backend().Seal(*object, SealExtent::kAllWrites);
  if (kind() == BackendKind::kMemfd) {
    SHMD_EXPECT_OK(sealed);
  } else {
    SHMD_EXPECT_REASON(sealed, reason::kBackendUnsupported);
  }
}

TEST_P(BackendConformance, FlushIsAccepted) {
  const SegmentOptions options = Options();
  if (RefusedForLackOfPages(options)) return;
  const ScopedObject object(backend(), backend().Create(options));
  SHMD_ASSERT_OK(object);
  for (const FlushMode mode :
       {FlushMode::kSynchronous, FlushMode::kAsynchronous,
        FlushMode::kInvalidate}) {
    SHMD_EXPECT_OK(backend().Flush(*object, mode, 0, 0));
    SHMD_EXPECT_OK(backend().Flush(*object, mode, 5, 100));
  }
}

TEST_P(BackendConformance, ManyThreadsCreateAndRemove) {
  SegmentOptions options = Options();
  options.posix_name.clear();
  options.size_bytes = options.page_size_bytes;
  if (RefusedForLackOfPages(options)) return;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, options, i]() mutable {
      if (kind() == BackendKind::kMappedFile) {
        options.file_path = Token(std::to_string(i));
      }
      for (int round = 0; round < 8; ++round) {
        const ScopedObject object(backend(), backend().Create(options));
        // Four threads may want more huge pages than there are.
        if (!object.ok() && IsHuge()) continue;
        SHMD_ASSERT_OK(object);
        SHMD_EXPECT_OK(backend().Status(*object, true));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace shmd
