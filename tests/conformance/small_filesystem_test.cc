// File systems that are too small. Mounts them, which takes root.

#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "shm/backend.h"
#include "shm/limits.h"

namespace shmd {
namespace {

constexpr uint64_t kMountBytes = 1 << 20;

class SmallFileSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/small-XXXXXX");
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    mounted_ = mount("none", root_.c_str(), "tmpfs", 0, "size=1m") == 0;
    ASSERT_TRUE(mounted_);
    settings_.file_roots = {root_};
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(umount(root_.c_str()), 0);
    }
    EXPECT_EQ(rmdir(root_.c_str()), 0);
  }

  SegmentOptions Options(uint64_t size_bytes, Allocation allocation) {
    SegmentOptions options;
    options.backend = BackendKind::kMappedFile;
    options.size_bytes = size_bytes;
    options.page_size_bytes = 4096;
    options.allocation = allocation;
    options.file_path = "file";
    return options;
  }

  uint64_t AvailableBytes() { return *ReadFileSystemAvailableBytes(root_); }

  std::string root_;
  bool mounted_ = false;
  BackendSettings settings_;
};

TEST_F(SmallFileSystemTest, WhatDoesNotFitIsRefusedWithNumbers) {
  const BackendSet backends(settings_);
  const Backend& files = backends.Get(BackendKind::kMappedFile);
  const uint64_t before = AvailableBytes();
  for (const Allocation allocation :
       {Allocation::kLazy, Allocation::kReserved}) {
    const auto refused = files.Create(Options(4 * kMountBytes, allocation));
    EXPECT_EQ(GetErrorReason(refused.status()), reason::kFileSpaceExhausted);
    const ErrorDetail detail = GetErrorDetail(refused.status());
    EXPECT_EQ(detail.metadata.at("requested"), std::to_string(4 * kMountBytes));
    EXPECT_EQ(detail.metadata.at("available"), std::to_string(before));
    EXPECT_NE(access((root_ + "/file").c_str(), F_OK), 0);
  }
  EXPECT_EQ(AvailableBytes(), before);
}

TEST_F(SmallFileSystemTest, ReservedPagesAreTakenAndGivenBack) {
  const BackendSet backends(settings_);
  const Backend& files = backends.Get(BackendKind::kMappedFile);
  const uint64_t before = AvailableBytes();
  const auto made = files.Create(Options(before, Allocation::kReserved));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(AvailableBytes(), 0u);
  const absl::Status grown =
      files.Resize(*made, Options(before + 4096, Allocation::kReserved));
  EXPECT_EQ(GetErrorReason(grown), reason::kFileSpaceExhausted);
  EXPECT_EQ(files.Status(*made, false)->size_bytes, before);
  EXPECT_TRUE(files.Remove(*made).ok());
  EXPECT_EQ(AvailableBytes(), before);
}

}  // namespace
}  // namespace shmd
