#ifndef SHMD_TESTS_CONFORMANCE_BACKEND_CONFORMANCE_H_
#define SHMD_TESTS_CONFORMANCE_BACKEND_CONFORMANCE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "shm/backend.h"
#include "shm/kernel_object.h"
#include "shm/mapping.h"

namespace shmd {

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

#define SHMD_ASSERT_OK(expression)                          \
  do {                                                      \
    const absl::Status macro_status = StatusOf(expression); \
    ASSERT_TRUE(macro_status.ok()) << macro_status;         \
  } while (false)
#define SHMD_EXPECT_OK(expression)                          \
  do {                                                      \
    const absl::Status macro_status = StatusOf(expression); \
    EXPECT_TRUE(macro_status.ok()) << macro_status;         \
  } while (false)
#define SHMD_EXPECT_REASON(expression, reason) \
  EXPECT_EQ(GetErrorReason(StatusOf(expression)), reason)

// Which backend, and with which pages.
struct BackendCase {
  BackendKind kind = BackendKind::kMemfd;
  uint64_t page_size_bytes = 0;
  bool is_late = false;  // SegmentOptions.may_be_late
};

// "SYSV_2048K", "MEMFD_4K_late".
std::string CaseName(const testing::TestParamInfo<BackendCase>& test);

// What every backend must do, on every page size that it has: the TEST_Ps in
// backend_conformance.cc. A test binary says for which cases by
// INSTANTIATE_TEST_SUITE_P. Each test also fails when the kernel's ledger has
// changed at its end.
//
// Pages of the huge pool may be lacking: then each test checks that creation
// says so, in place of what it is about.
class BackendConformance : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override;
  void TearDown() override;

  BackendKind kind() const { return GetParam().kind; }
  bool IsHuge() const { return GetParam().page_size_bytes > 4096; }
  bool HasName() const { return kind() != BackendKind::kMemfd; }
  bool IsDescriptor() const { return kind() != BackendKind::kSysv; }
  const Backend& backend() const { return backends_->Get(kind()); }
  const std::string& folder() const { return folder_; }

  // A name that is this test's own.
  std::string Token(const std::string& suffix = "") const {
    return token_ + suffix;
  }

  // A segment of a few pages, with every name that its backend wants.
  SegmentOptions Options() const;

  // True, after checking the refusal, when the pool has not enough pages.
  bool RefusedForLackOfPages(const SegmentOptions& options);

  MapOptions Whole(const SegmentOptions& options) const;

  absl::StatusOr<WritableMapping> MapWritable(const KernelObject& object,
                                              const MapOptions& options);
  absl::StatusOr<ReadOnlyMapping> MapReadOnly(const KernelObject& object,
                                              const MapOptions& options);

  // Tells the ledger that what is held now is held on purpose.
  void RestartLedger();
  void ExpectLedgerUnchanged() const;

 private:
  std::string folder_;
  std::string token_;
  bool mounted_ = false;
  std::unique_ptr<BackendSet> backends_;
  std::map<std::string, size_t> ledger_;
};

// An object that is removed at the end of a test, whatever happens in it.
class ScopedObject {
 public:
  ScopedObject(const Backend& backend, absl::StatusOr<KernelObject> object)
      : backend_(backend), object_(std::move(object)) {}
  ~ScopedObject() {
    if (object_.ok()) backend_.Remove(*object_).IgnoreError();
  }
  ScopedObject(const ScopedObject&) = delete;

  bool ok() const { return object_.ok(); }
  absl::Status status() const { return object_.status(); }
  const KernelObject& operator*() const { return *object_; }
  const KernelObject* operator->() const { return &*object_; }

 private:
  const Backend& backend_;
  absl::StatusOr<KernelObject> object_;
};
inline absl::Status StatusOf(const ScopedObject& object) {
  return object.status();
}

}  // namespace shmd

#endif  // SHMD_TESTS_CONFORMANCE_BACKEND_CONFORMANCE_H_
