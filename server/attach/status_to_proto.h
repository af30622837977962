#ifndef SHMD_SERVER_ATTACH_STATUS_TO_PROTO_H_
#define SHMD_SERVER_ATTACH_STATUS_TO_PROTO_H_

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace shmd {

// An error as both sockets send it: with google.rpc.ErrorInfo of domain `shmd`
// and, where a field is named, google.rpc.BadRequest.
google::rpc::Status StatusToProto(const absl::Status& status);

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_STATUS_TO_PROTO_H_
