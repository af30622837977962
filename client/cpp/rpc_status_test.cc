#include "client/cpp/rpc_status.h"

#include <string>

#include "base/error.h"
#include "base/error_reason.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

using testing::HasSubstr;

// As the daemon sends it.
google::rpc::Status QuotaError() {
  google::rpc::Status error;
  error.set_code(8);
  error.set_message("asked for 10 bytes, but only 4 are left of quota");
  google::rpc::ErrorInfo cause;
  cause.set_domain("shmd");
  cause.set_reason(reason::kQuotaExceeded);
  (*cause.mutable_metadata())["requested"] = "10";
  (*cause.mutable_metadata())["available"] = "4";
  error.add_details()->PackFrom(cause);
  google::rpc::BadRequest bad_request;
  bad_request.add_field_violations()->set_field("segment.size_bytes");
  error.add_details()->PackFrom(bad_request);
  return error;
}

TEST(RpcStatusTest, DetailsOfAnAttachReplySurvive) {
  const absl::Status status = StatusFromProto(QuotaError());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("only 4 are left"));
  const ErrorDetail detail = GetErrorDetail(status);
  EXPECT_EQ(detail.reason, reason::kQuotaExceeded);
  EXPECT_EQ(detail.field, "segment.size_bytes");
  EXPECT_EQ(detail.metadata.at("requested"), "10");
  EXPECT_EQ(detail.metadata.at("available"), "4");
}

TEST(RpcStatusTest, DetailsOfAnRpcAreThoseOfTheTrailer) {
  const google::rpc::Status error = QuotaError();
  const grpc::Status rpc(grpc::StatusCode::RESOURCE_EXHAUSTED, error.message(),
                         error.SerializeAsString());
  const absl::Status status = StatusFromGrpc(rpc, "/run/shmd");
  EXPECT_EQ(status, StatusFromProto(error));
  EXPECT_EQ(GetErrorDetail(status).metadata.at("available"), "4");
}

TEST(RpcStatusTest, AnErrorWithoutACodeStaysAnError) {
  EXPECT_EQ(StatusFromProto(google::rpc::Status()).code(),
            absl::StatusCode::kInternal);
  google::rpc::Status unknown;
  unknown.set_code(99);
  EXPECT_EQ(StatusFromProto(unknown).code(), absl::StatusCode::kInternal);
}

TEST(RpcStatusTest, OtherDomainsAreNotOurReasons) {
  google::rpc::Status error;
  error.set_code(5);
  google::rpc::ErrorInfo cause;
  cause.set_domain("example.com");
  cause.set_reason("SEGMENT_NOT_FOUND");
  error.add_details()->PackFrom(cause);
  EXPECT_EQ(GetErrorReason(StatusFromProto(error)), "");
}

TEST(RpcStatusTest, GarbageInTheTrailerKeepsCodeAndMessage) {
  const absl::Status status = StatusFromGrpc(
      grpc::Status(grpc::StatusCode::NOT_FOUND, "gone", "\xff\xff garbage"),
      "/run/shmd");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "gone");
}

TEST(RpcStatusTest, GrpcsOwnUnavailableNamesTheFolder) {
  const absl::Status status = StatusFromGrpc(
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "failed to connect"),
      "/some/folder");
  EXPECT_EQ(GetErrorReason(status), reason::kServerUnreachable);
  EXPECT_EQ(GetErrorDetail(status).metadata.at("socket_dir"), "/some/folder");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("shmd --socket_dir=/some/folder"));
}

TEST(RpcStatusTest, CallsThatAStoppingDaemonCancelsFoundNobody) {
  const absl::Status status = StatusFromGrpc(
      grpc::Status(grpc::StatusCode::CANCELLED, "CANCELLED"), "/some/folder");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetErrorReason(status), reason::kServerUnreachable);
}

TEST(RpcStatusTest, ADrainingDaemonIsNotUnreachable) {
  google::rpc::Status error;
  google::rpc::ErrorInfo cause;
  cause.set_domain("shmd");
  cause.set_reason(reason::kServerDraining);
  error.add_details()->PackFrom(cause);
  const absl::Status status =
      StatusFromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining",
                                  error.SerializeAsString()),
                     "/run/shmd");
  EXPECT_EQ(GetErrorReason(status), reason::kServerDraining);
}

}  // namespace
}  // namespace shmd
