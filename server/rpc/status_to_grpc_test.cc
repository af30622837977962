#include "server/rpc/status_to_grpc.h"

#include "base/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status proto;
  EXPECT_TRUE(proto.ParseFromString(status.error_details()));
  return proto;
}

TEST(ToGrpcStatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(ToGrpcStatusTest, NothingOfAnErrorIsLost) {
  const absl::Status error =
      InvalidField("segment.mode", "MODE_INVALID", "is wrong")
          .With("mode", 511)
          .With("empty", "");
  const grpc::Status status = ToGrpcStatus(error);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "segment.mode: is wrong");
  const google::rpc::Status proto = Details(status);
  EXPECT_EQ(proto.code(), 3);
  EXPECT_EQ(proto.message(), status.error_message());
  ASSERT_EQ(proto.details_size(), 2);
  google::rpc::ErrorInfo details;
  ASSERT_TRUE(proto.details(0).UnpackTo(&details));
  EXPECT_EQ(details.domain(), "shmd");
  EXPECT_EQ(details.reason(), "MODE_INVALID");
  ASSERT_EQ(details.metadata_size(), 2);
  EXPECT_EQ(details.metadata().at("mode"), "511");
  EXPECT_EQ(details.metadata().at("empty"), "");
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(proto.details(1).UnpackTo(&bad_request));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "segment.mode");
}

TEST(ToGrpcStatusTest, ErrorWithoutAReasonIsAFaultOfOurs) {
  const google::rpc::Status proto =
      Details(ToGrpcStatus(absl::InternalError("bare")));
  ASSERT_EQ(proto.details_size(), 1);
  google::rpc::ErrorInfo details;
  ASSERT_TRUE(proto.details(0).UnpackTo(&details));
  EXPECT_EQ(details.reason(), "INVARIANT_BROKEN");
}

TEST(ToGrpcStatusTest, CodesKeepTheirNumbers) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status error =
        Error(static_cast<absl::StatusCode>(code), "KERNEL_REFUSED", "m");
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(error).error_code()), code);
  }
}

}  // namespace
}  // namespace shmd
