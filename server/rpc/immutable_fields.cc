#include "server/rpc/immutable_fields.h"

#include "google/api/field_behavior.pb.h"

namespace shmd {

std::vector<const google::protobuf::FieldDescriptor*> SetFields(
    const google::protobuf::Message& message) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return fields;
}

bool IsImmutable(const google::protobuf::FieldDescriptor& field) {
  const google::protobuf::FieldOptions& options = field.options();
  for (int i = 0; i < options.ExtensionSize(google::api::field_behavior); ++i) {
    if (options.GetExtension(google::api::field_behavior, i) ==
        google::api::IMMUTABLE) {
      return true;
    }
  }
  return false;
}

}  // namespace shmd
