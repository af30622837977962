#ifndef SHMD_SERVER_RPC_IMMUTABLE_FIELDS_H_
#define SHMD_SERVER_RPC_IMMUTABLE_FIELDS_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <vector>

namespace shmd {

// The fields that `message` has, in the order of their numbers.
std::vector<const google::protobuf::FieldDescriptor*> SetFields(
    const google::protobuf::Message& message);

// Whether the field is given when a resource is made and stays so: IMMUTABLE in
// the .proto file (AIP-203).
bool IsImmutable(const google::protobuf::FieldDescriptor& field);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_IMMUTABLE_FIELDS_H_
