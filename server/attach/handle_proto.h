#ifndef SHMD_SERVER_ATTACH_HANDLE_PROTO_H_
#define SHMD_SERVER_ATTACH_HANDLE_PROTO_H_

#include "absl/status/statusor.h"
#include "shm/handle.h"
#include "shmd/v1/handle.pb.h"

namespace shmd {

void HandleToProto(const Handle& handle, v1::Handle* proto);

// HANDLE_INVALID (INVALID_ARGUMENT) for what no daemon made. Says nothing of
// the signature.
absl::StatusOr<Handle> HandleFromProto(const v1::Handle& proto);

v1::Access AccessToProto(Access access);

// Unset means read; FIELD_INVALID for an unknown number.
absl::StatusOr<Access> AccessFromProto(v1::Access access);

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_HANDLE_PROTO_H_
