#include "base/error.h"

#include <cerrno>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/error_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

using ::testing::HasSubstr;

TEST(ErrorTest, CarriesReasonFieldAndMetadata) {
  const absl::Status status =
      InvalidField("segment.size_bytes", reason::kSizeInvalid, "is 0")
          .With("size_bytes", 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "segment.size_bytes: is 0");
  const ErrorDetail detail = GetErrorDetail(status);
  EXPECT_EQ(detail.reason, "SIZE_INVALID");
  EXPECT_EQ(detail.field, "segment.size_bytes");
  EXPECT_EQ(detail.metadata.at("size_bytes"), "0");
}

TEST(ErrorTest, KeepsEmptyValuesAndStripsNul) {
  const absl::Status status =
      Error(absl::StatusCode::kNotFound, reason::kSegmentNotFound, "gone")
          .With("name", std::string("a\0b", 3))
          .With("parent", "");
  const ErrorDetail detail = GetErrorDetail(status);
  EXPECT_EQ(detail.metadata.at("name"), "a?b");
  EXPECT_EQ(detail.metadata.at("parent"), "");
  EXPECT_EQ(detail.metadata.size(), 2u);
}

TEST(ErrorTest, ConvertsToStatusOr) {
  const absl::StatusOr<int> result =
      absl::StatusOr<int>(Exhausted(reason::kQuotaExceeded, "quota", 10, 3));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("asked for 10 bytes, but only 3 are left of quota"));
}

TEST(ErrorTest, StatusWithoutDetailHasEmptyReason) {
  EXPECT_EQ(GetErrorReason(absl::OkStatus()), "");
  EXPECT_EQ(GetErrorReason(absl::InternalError("x")), "");
}

TEST(ExcerptTest, CutsBetweenCharacters) {
  EXPECT_EQ(Excerpt("abc", 3), "abc");
  EXPECT_EQ(Excerpt("abcd", 3), "abc");
  EXPECT_EQ(Excerpt("ab\xe2\x82\xac", 5), "ab\xe2\x82\xac");
  EXPECT_EQ(Excerpt("ab\xe2\x82\xac", 4), "ab");
  EXPECT_EQ(Excerpt("ab\xe2\x82\xac", 3), "ab");
  EXPECT_EQ(Excerpt("\xe2\x82\xac", 1), "");
}

TEST(ErrnoStatusTest, OverridesWhereAbseilMisleads) {
  EXPECT_EQ(ErrnoStatus(EIDRM, "shmat").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoStatus(EBADF, "mmap").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrnoStatus(ENODEV, "mmap").code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ErrnoStatus(0, "mmap").code(), absl::StatusCode::kInternal);
  // UNKNOWN says nothing that a caller could act upon.
  EXPECT_EQ(ErrnoStatus(12345, "mmap").code(), absl::StatusCode::kInternal);
}

TEST(ErrnoStatusTest, SaysWhichCallWasRefusedAndHow) {
  const ErrorDetail detail = GetErrorDetail(ErrnoStatus(ENOSYS, "mseal"));
  EXPECT_EQ(detail.reason, reason::kKernelRefused);
  EXPECT_EQ(detail.metadata.at("call"), "mseal");
  EXPECT_EQ(detail.metadata.at("errno"), absl::StrCat(ENOSYS));
}

TEST(ErrnoStatusTest, TellsThatStorageHasFailed) {
  const absl::Status status = ErrnoStatus(EIO, "fsync");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  const ErrorDetail detail = GetErrorDetail(status);
  EXPECT_EQ(detail.reason, "STORAGE_FAILED");
  EXPECT_EQ(detail.metadata.at("call"), "fsync");
}

TEST(ErrorTest, AnythingIsCarriedAndReadableWhenPrinted) {
  const absl::Status plain =
      Error(absl::StatusCode::kAlreadyExists, "SEGMENT_EXISTS", "taken")
          .With("name", "namespaces/default/segments/frame");
  EXPECT_EQ(plain.ToString(),
            "ALREADY_EXISTS: taken [shmd/ErrorDetail='SEGMENT_EXISTS "
            "name=namespaces/default/segments/frame']");
  ErrorDetail odd;
  odd.reason = "R";
  odd.field = "a b=@c%";
  odd.metadata = {{"@k = %", " =v@\n%20"}, {"empty", ""}, {"u", "\xc3\xa4"}};
  const ErrorDetail found =
      GetErrorDetail(WithErrorDetail(absl::InternalError("m"), odd));
  EXPECT_EQ(found.reason, odd.reason);
  EXPECT_EQ(found.field, odd.field);
  EXPECT_EQ(found.metadata, odd.metadata);
}

}  // namespace
}  // namespace shmd
