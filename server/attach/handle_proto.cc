#include "server/attach/handle_proto.h"

#include <cstring>
#include <string>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

template <typename Array>
std::string ToBytes(const Array& array) {
  return std::string(array.begin(), array.end());
}

template <typename Array>
bool FromBytes(const std::string& bytes, Array* array) {
  if (bytes.size() != array->size()) return false;
  std::memcpy(array->data(), bytes.data(), bytes.size());
  return true;
}

}  // namespace

void HandleToProto(const Handle& handle, v1::Handle* proto) {
  proto->set_node(handle.node);
  proto->set_namespace_(handle.name_space);
  proto->set_uid(ToBytes(handle.uid));
  proto->set_generation(handle.generation);
  proto->set_offset_bytes(handle.offset_bytes);
  proto->set_length_bytes(handle.length_bytes);
  proto->set_access(AccessToProto(handle.access));
  if (handle.expire_unix_ms != 0) {
    auto* const time = proto->mutable_expire_time();
    time->set_seconds(handle.expire_unix_ms / 1000);
    time->set_nanos(static_cast<int>(handle.expire_unix_ms % 1000) * 1000000);
  }
  if (handle.grant.has_value()) proto->set_grant(ToBytes(*handle.grant));
  proto->set_signature(ToBytes(handle.signature));
}

absl::StatusOr<Handle> HandleFromProto(const v1::Handle& proto) {
  Handle handle;
  handle.node = proto.node();
  handle.name_space = proto.namespace_();
  handle.generation = proto.generation();
  handle.offset_bytes = proto.offset_bytes();
  handle.length_bytes = proto.length_bytes();
  handle.access =
      proto.access() == v1::READ_WRITE ? Access::kReadWrite : Access::kRead;
  // Bounded first, so that the product cannot overflow: the year 9999.
  constexpr int64_t kMaxSeconds = 253402300799;
  const int64_t seconds = proto.expire_time().seconds();
  const int nanos = proto.expire_time().nanos();
  if (!proto.grant().empty()) handle.grant.emplace();
  const bool is_well_formed =
      (proto.grant().empty() || FromBytes(proto.grant(), &*handle.grant)) &&
      FromBytes(proto.uid(), &handle.uid) &&
      FromBytes(proto.signature(), &handle.signature) &&
      !handle.name_space.empty() &&
      handle.name_space.size() <= kMaxNamespaceBytes &&
      (proto.access() == v1::READ || proto.access() == v1::READ_WRITE) &&
      seconds >= 0 && seconds <= kMaxSeconds && nanos >= 0 &&
      nanos < 1000000000;
  if (!is_well_formed) {
    return absl::StatusOr<Handle>(Error(absl::StatusCode::kInvalidArgument,
                                        reason::kHandleInvalid,
                                        "the handle was not made by a daemon"));
  }
  handle.expire_unix_ms = seconds * 1000 + nanos / 1000000;
  return handle;
}

v1::Access AccessToProto(Access access) {
  return access == Access::kReadWrite ? v1::READ_WRITE : v1::READ;
}

absl::StatusOr<Access> AccessFromProto(v1::Access access) {
  switch (access) {
    case v1::ACCESS_UNSPECIFIED:
    case v1::READ:
      return Access::kRead;
    case v1::READ_WRITE:
      return Access::kReadWrite;
    default:
      return absl::StatusOr<Access>(InvalidField(
          "access", reason::kRequestInvalid, "is an unknown number"));
  }
}

}  // namespace shmd
