#include "tests/conformance/backend_conformance.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/limits.h"
#include "tests/conformance/leak_ledger.h"

namespace shmd {

std::string CaseName(const testing::TestParamInfo<BackendCase>& test) {
  return absl::StrCat(BackendName(test.param.kind), "_",
                      test.param.page_size_bytes / 1024, "K",
                      test.param.is_late ? "_late" : "");
}

void BackendConformance::SetUp() {
  folder_ = absl::StrCat(testing::TempDir(), "/root-XXXXXX");
  ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  token_ = absl::StrCat("shmdtest-", getpid(), "-", UidToHex(RandomUid()));
  if (kind() == BackendKind::kMappedFile && IsHuge()) {
    const std::string data =
        absl::StrCat("pagesize=", GetParam().page_size_bytes);
    mounted_ =
        mount("none", folder_.c_str(), "hugetlbfs", 0, data.c_str()) == 0;
    ASSERT_TRUE(mounted_);
  }
  BackendSettings settings;
  settings.file_roots = {folder_};
  backends_ = std::make_unique<BackendSet>(settings);
  RestartLedger();
}

void BackendConformance::TearDown() {
  ExpectLedgerUnchanged();
  if (mounted_) {
    EXPECT_EQ(umount(folder_.c_str()), 0);
  }
  EXPECT_EQ(rmdir(folder_.c_str()), 0) << "something is left in the root";
}

SegmentOptions BackendConformance::Options() const {
  SegmentOptions options;
  options.backend = kind();
  options.page_size_bytes = GetParam().page_size_bytes;
  options.size_bytes = options.page_size_bytes * (IsHuge() ? 2 : 16);
  options.owner = geteuid();
  options.group = getegid();
  options.may_be_late = GetParam().is_late;
  if (kind() == BackendKind::kPosix) options.posix_name = "/" + Token();
  if (kind() == BackendKind::kMappedFile) options.file_path = Token();
  return options;
}

bool BackendConformance::RefusedForLackOfPages(const SegmentOptions& options) {
  if (!IsHuge()) return false;
  bool known = false;
  for (const HugePagePool& pool : ReadHugePagePools()) {
    if (pool.page_size_bytes != options.page_size_bytes) continue;
    known = true;
    if (pool.available_pages * pool.page_size_bytes >= options.size_bytes) {
      return false;
    }
  }
  testing::Test::RecordProperty("refused_for_lack_of_pages", 1);
  printf(
      "[ NO PAGES ] the refusal is checked in place of what this is about\n");
  const ScopedObject made(backend(), backend().Create(options));
  SHMD_EXPECT_REASON(
      made, known ? reason::kHugepagesExhausted : reason::kPageSizeMismatch);
  if (known) {
    EXPECT_EQ(GetErrorDetail(made.status()).metadata.at("unit"), "pages");
  }
  return true;
}

MapOptions BackendConformance::Whole(const SegmentOptions& options) const {
  MapOptions map;
  map.size_bytes = options.size_bytes;
  map.page_size_bytes = options.page_size_bytes;
  return map;
}

absl::StatusOr<WritableMapping> BackendConformance::MapWritable(
    const KernelObject& object, const MapOptions& options) {
  absl::StatusOr<ObjectRef> ref = backend().Open(object, Access::kReadWrite);
  if (!ref.ok()) return ref.status();
  return WritableMapping::Map(*ref, options);
}

absl::StatusOr<ReadOnlyMapping> BackendConformance::MapReadOnly(
    const KernelObject& object, const MapOptions& options) {
  absl::StatusOr<ObjectRef> ref = backend().Open(object, Access::kRead);
  if (!ref.ok()) return ref.status();
  return ReadOnlyMapping::Map(*ref, options);
}

void BackendConformance::RestartLedger() {
  ledger_ = ReadLedger(folder_, token_);
}

void BackendConformance::ExpectLedgerUnchanged() const {
  EXPECT_EQ(ReadLedger(folder_, token_), ledger_);
}

}  // namespace shmd
