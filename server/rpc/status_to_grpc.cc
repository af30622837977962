#include "server/rpc/status_to_grpc.h"

#include "server/attach/status_to_proto.h"

namespace shmd {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status proto = StatusToProto(status);
  // The numbers of both enumerations are those of google.rpc.Code.
  return grpc::Status(static_cast<grpc::StatusCode>(proto.code()),
                      proto.message(), proto.SerializeAsString());
}

}  // namespace shmd
